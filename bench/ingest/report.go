package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
)

// report is what --output json prints.
type report struct {
	Machine benchingest.Machine `json:"machine"`
	Results []result            `json:"results"`
	Ratios  []ratio             `json:"ratios"`
}

type result struct {
	Name   string    `json:"name"`
	Rate   float64   `json:"recordsPerSecond"` // median of the rounds
	Rounds []reading `json:"rounds"`

	title string
}

// ratio compares two results round by round, so that what slows a whole round falls out.
type ratio struct {
	Of string `json:"of"`
	To string `json:"to"`
	benchdb.Spread
	Goal float64 `json:"goal,omitempty"`
}

func (r *report) add(m measurement, s reading) {
	i := slices.IndexFunc(r.Results, func(have result) bool { return have.Name == m.name })
	if i < 0 {
		i = len(r.Results)
		r.Results = append(r.Results, result{Name: m.name, title: m.title})
	}
	r.Results[i].Rounds = append(r.Results[i].Rounds, s)
}

// finish computes what is told of all rounds together.
func (r *report) finish() {
	for i := range r.Results {
		r.Results[i].Rate = benchdb.Median(each(r.Results[i].Rounds, reading.rate))
	}
	r.compare(ingestAll, copyOwn, 1.3)
	r.compare(ingestAll, copyBrief, 1.7)
	r.compare(ingestRepeats, ingestAll, 0)
	r.compare(tracedName, ingestAll, 0)
	r.compare(countedName, ingestAll, 0.9)
}

func (r *report) compare(of, to string, goal float64) {
	a, b := r.rounds(of), r.rounds(to)
	if a == nil || b == nil {
		return
	}
	quotients := make([]float64, len(a))
	for i := range a {
		quotients[i] = a[i].rate() / b[i].rate()
	}
	r.Ratios = append(r.Ratios, ratio{Of: of, To: to, Spread: benchdb.SpreadOf(quotients), Goal: goal})
}

func (r *report) rounds(name string) []reading {
	for _, have := range r.Results {
		if have.Name == name {
			return have.Rounds
		}
	}
	return nil
}

func (r *report) print(w io.Writer, format string) error {
	r.finish()
	if format == "json" {
		return benchingest.PrintJSON(w, r)
	}
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "records/s\trounds\tCPU µs/record\tKafka's\tpeak MiB\tstart-up s\t \t")
	for _, have := range r.Results {
		fmt.Fprintf(t, "%.0f\t%s\t%s\t%s\t%s\t%s\t  %s\t\n", have.Rate,
			strings.Join(texts(have.Rounds, "%.0f", reading.rate), " "),
			middle(have.Rounds, "%.1f", func(s reading) float64 { return s.CPU / float64(s.Records) * 1e6 }),
			middle(have.Rounds, "%.1f", func(s reading) float64 { return s.KafkaCPU / float64(s.Records) * 1e6 }),
			middle(have.Rounds, "%.0f", func(s reading) float64 { return float64(s.PeakBytes) / (1 << 20) }),
			middle(have.Rounds, "%.1f", func(s reading) float64 { return s.StartupS }), have.title)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	for _, q := range r.Ratios {
		fmt.Fprintf(w, "%s / %s: %.2f (%.2f to %.2f)", q.Of, q.To, q.Median, q.Least, q.Most)
		if q.Goal > 0 {
			fmt.Fprintf(w, ", goal %.1f", q.Goal)
		}
		fmt.Fprintln(w)
	}
	if counted := r.rounds(countedName); counted != nil {
		behind := benchdb.SpreadOf(each(counted, func(s reading) float64 { return s.Behind }))
		fmt.Fprintf(w, "rollups behind by at most: %.1f s (%.1f to %.1f), goal 5; the rest counted within %s s of the end\n", behind.Median, behind.Least, behind.Most,
			strings.Join(texts(counted, "%.1f", func(s reading) float64 { return s.CaughtUp }), ", "))
	}
	return nil
}

func each(rounds []reading, value func(reading) float64) []float64 {
	out := make([]float64, len(rounds))
	for i, s := range rounds {
		out[i] = value(s)
	}
	return out
}

func texts(rounds []reading, format string, value func(reading) float64) []string {
	out := make([]string, len(rounds))
	for i, v := range each(rounds, value) {
		out[i] = fmt.Sprintf(format, v)
	}
	return out
}

// middle is the median as text; a dash where nothing was measured.
func middle(rounds []reading, format string, value func(reading) float64) string {
	v := benchdb.Median(each(rounds, value))
	if v == 0 {
		return "–"
	}
	return fmt.Sprintf(format, v)
}
