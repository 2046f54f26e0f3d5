package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
)

// goal is the least share of the smallest store's speed.
const goal = 0.8

// report is what --output json prints.
type report struct {
	Machine string     `json:"machine"`
	Stores  []*results `json:"stores"`
}

func (b *bench) machine() string {
	return fmt.Sprintf("%d cores, %s; PostgreSQL %s, durable; %d requests at once; load average %s before", runtime.NumCPU(), runtime.Version(),
		b.Server.Postgres.Version(), b.opts.concurrency, benchingest.LoadAverage())
}

func (p path) of(value func(reading) float64) float64 {
	var list []float64
	for _, r := range p.Rounds {
		list = append(list, value(r))
	}
	return benchdb.Median(list)
}

func (p path) rate() float64 { return p.of(func(r reading) float64 { return r.Rate }) }
func (p path) cpu() float64  { return p.of(func(r reading) float64 { return r.CPU() }) }

func (r *report) print(w io.Writer, format string) error {
	if format == "json" {
		return benchingest.PrintJSON(w, r)
	}
	fmt.Fprintf(w, "%s, %s after\n\n", r.Machine, benchingest.LoadAverage())
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	r.printPaths(t)
	r.printWork(t)
	r.printBytes(t)
	return t.Flush()
}

// printPaths prints a line a path and store. The ratios are to the smallest store, of rates and of CPU time.
func (r *report) printPaths(t *tabwriter.Writer) {
	if len(r.Stores[0].Paths) == 0 {
		return
	}
	fmt.Fprintf(t, "events\trequests/s\tp50 ms\tp99 ms\tCPU µs: API\tPostgreSQL\tbuffers hit\tread\tof smallest (goal %.1f)\tby CPU\t \t\n", goal)
	for i, smallest := range r.Stores[0].Paths {
		for _, s := range r.Stores {
			p := s.Paths[i]
			of := "\t"
			if s != r.Stores[0] {
				of = fmt.Sprintf("%.2f\t%.2f", p.rate()/smallest.rate(), smallest.cpu()/p.cpu())
			}
			fmt.Fprintf(t, "%d\t%.0f\t%.2f\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t  %s\t\n", s.Events, p.rate(),
				p.of(func(r reading) float64 { return r.P50 }), p.of(func(r reading) float64 { return r.P99 }),
				p.of(func(r reading) float64 { return r.OwnMicros }), p.of(func(r reading) float64 { return r.ServerMicros }),
				p.of(func(r reading) float64 { return r.Hit }), p.of(func(r reading) float64 { return r.Read }), of, p.Kind)
		}
	}
	fmt.Fprintln(t)
}

// printWork prints a line a store: what is no request.
func (r *report) printWork(t *tabwriter.Writer) {
	fmt.Fprintln(t, "events\tstart api s\tall roles\tmigrate up s: idle\tnewest\tverify s\tevents/s\tingest events/s\tCPU µs: ingest\tPostgreSQL\tWAL bytes\tfull pages\t")
	for _, s := range r.Stores {
		v := s.Verified
		fmt.Fprintf(t, "%d\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t%.0f", s.Events, s.StartAPI, s.StartAll, s.Idle, s.Newest, v.Seconds, float64(v.Events)/max(v.Seconds, 0.01))
		f := s.Ingested
		if f == nil {
			f = &s.Fills[len(s.Fills)-1]
		}
		n := float64(f.Events)
		fmt.Fprintf(t, "\t%.0f\t%.1f\t%.1f\t%.0f\t%d\t\n", n/f.Seconds, f.Own*1e6/n, f.Server*1e6/n, float64(f.WAL)/n, f.Images)
	}
	fmt.Fprintln(t)
}

// printBytes prints bytes an event of the tables and indexes that have one at least, those of the largest store first.
func (r *report) printBytes(t *tabwriter.Writer) {
	fmt.Fprint(t, "bytes an event")
	for _, s := range r.Stores {
		fmt.Fprintf(t, "\t%d", s.Events)
	}
	fmt.Fprintln(t, "\t")
	sums := make([]float64, len(r.Stores))
	for _, one := range r.Stores[len(r.Stores)-1].Bytes {
		line, most := one.Name, 0.0
		for i, s := range r.Stores {
			each := float64(s.of(one.Name)) / float64(s.Events)
			sums[i] += each
			most = max(most, each)
			line += fmt.Sprintf("\t%.1f", each)
		}
		if most >= 1 {
			fmt.Fprintln(t, line+"\t")
		}
	}
	fmt.Fprint(t, "all")
	for _, sum := range sums {
		fmt.Fprintf(t, "\t%.1f", sum)
	}
	fmt.Fprintln(t, "\t")
}

// of is the bytes of a table or an index.
func (r *results) of(name string) int64 {
	for _, one := range r.Bytes {
		if one.Name == name {
			return one.Bytes
		}
	}
	return 0
}
