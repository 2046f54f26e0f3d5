package main

import (
	"fmt"
	"io"
	"text/tabwriter"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
)

// report is what --output json prints.
type report struct {
	Machine    benchingest.Machine `json:"machine"`
	LoadBefore string              `json:"loadBefore"`
	LoadAfter  string              `json:"loadAfter"`
	Ingest     []*ingested         `json:"ingest,omitempty"`
	Opening    []*opened           `json:"opening,omitempty"`
	Rotation   *rotated            `json:"rotation,omitempty"`
}

// The goals.
const (
	goalMicros  = 12 // of our CPU that 8 sealed fields cost an event
	goalSeconds = 60 // for a million keys
)

func (r *report) print(w io.Writer, format string) error {
	if format == "json" {
		return benchingest.PrintJSON(w, r)
	}
	fmt.Fprintf(w, "%s; load average %s before, %s after\n", r.Machine, r.LoadBefore, r.LoadAfter)
	for _, part := range []func(io.Writer) error{r.printIngest, r.printOpening, r.printRotation} {
		if err := part(w); err != nil {
			return err
		}
	}
	return nil
}

func (r *report) printIngest(w io.Writer) error {
	if len(r.Ingest) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "sealed fields\tevents/s\tof 0 fields\tour CPU µs/event\tmore than 0 fields\tPostgreSQL's\tof 0 fields\tpeak MiB\tsubjects\t")
	none := r.Ingest[0]
	for _, one := range r.Ingest {
		fmt.Fprintf(t, "%d\t%.0f\t%s\t%.1f\t%s\t%.1f\t%s\t%.0f\t%d\t\n", one.Fields, one.Rate.median(), spread("%.2f", one.Rate.over(none.Rate)), one.CPU.median(),
			spread("%.1f", one.CPU.less(none.CPU)), one.ServerCPU.median(), spread("%.2f", one.ServerCPU.over(none.ServerCPU)), one.PeakMiB.median(), one.Subjects)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	all := r.Ingest[len(r.Ingest)-1]
	_, err := fmt.Fprintf(w, "%d sealed fields cost %.1f µs of our CPU an event, goal: at most %d\n", all.Fields, all.CPU.less(none.CPU).Median, goalMicros)
	return err
}

func (r *report) printOpening(w io.Writer) error {
	if len(r.Opening) == 0 {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "keys\tsubjects of the page\tvalues\tms/page\tof stored\tour CPU µs/event\tmore than stored\tPostgreSQL's\t")
	for _, one := range r.Opening {
		for _, way := range []struct {
			name string
			*reading
		}{{"stored", one.Stored}, {"opened, warm", one.Warm}, {"opened, cold", one.Cold}} {
			fmt.Fprintf(t, "%d\t%d\t%s\t%.1f\t%s\t%.1f\t%s\t%.1f\t\n", one.Keys, one.Subjects, way.name, way.Millis.median(),
				spread("%.2f", way.Millis.over(one.Stored.Millis)), way.CPU.median(), spread("%.1f", way.CPU.less(one.Stored.CPU)), way.ServerCPU.median())
		}
	}
	return t.Flush()
}

func (r *report) printRotation(w io.Writer) error {
	if r.Rotation == nil {
		return nil
	}
	fmt.Fprintln(w)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "all keys anew\ts\tof one statement\tour CPU s\tPostgreSQL's\tof one statement\t")
	for _, way := range []struct {
		name string
		*rewriting
	}{{"one UPDATE", r.Rotation.Plain}, {"keys rotate --kek", r.Rotation.Ours}} {
		fmt.Fprintf(t, "%s\t%.1f\t%s\t%.1f\t%.1f\t%s\t\n", way.name, way.Seconds.median(), spread("%.2f", way.Seconds.over(r.Rotation.Plain.Seconds)),
			way.CPU.median(), way.ServerCPU.median(), spread("%.2f", way.ServerCPU.over(r.Rotation.Plain.ServerCPU)))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	million := r.Rotation.Ours.Seconds.median() * 1e6 / float64(r.Rotation.Keys)
	_, err := fmt.Fprintf(w, "%d keys: a million take %.0f s, goal: less than %d\n", r.Rotation.Keys, million, goalSeconds)
	return err
}

// spread is a median with the least and the most.
func spread(format string, s benchdb.Spread) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", s.Median, s.Least, s.Most)
}
