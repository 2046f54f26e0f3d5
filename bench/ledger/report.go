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
	Hashed     []ingested          `json:"hashed"`   // one a round
	Unhashed   []ingested          `json:"unhashed"` // of the same round
	Share      shares              `json:"share"`
	LeafMicros float64             `json:"leafMicroseconds"` // of one leaf by itself

	TilesPerSecond float64    `json:"tilesLeavesPerSecond"` // leaves that tiles of level 1 and up are made of
	ProofsSingly   float64    `json:"proofsPerSecondSingly"`
	ProofsInBulk   float64    `json:"proofsPerSecondInBulk"`
	Verify         []verified `json:"verify"`
}

// shares say which part of ingest the ledger's hashes are, compared round by round, so that what slows a
// whole round falls out. Time and CPU are 1 − without / with.
type shares struct {
	CPU  benchdb.Spread `json:"cpu"` // of program and server together; zero where it can't be read
	Time benchdb.Spread `json:"time"`
	// GoMicros and ServerMicros are what hashes take of an event's CPU time.
	GoMicros     benchdb.Spread `json:"goMicroseconds"`
	ServerMicros benchdb.Spread `json:"serverMicroseconds"`
}

// shareGoal is the most that hashes may take of ingest.
const shareGoal = 0.03

type verified struct {
	Workers int     `json:"workers"`
	Rate    float64 `json:"eventsPerSecond"`
}

func (r *report) add(hashed bool, a ingested) {
	if hashed {
		r.Hashed = append(r.Hashed, a)
	} else {
		r.Unhashed = append(r.Unhashed, a)
	}
}

func (r *report) finish() {
	compare := func(value func(with, without ingested) float64) benchdb.Spread {
		var list []float64
		for i := range r.Hashed {
			list = append(list, value(r.Hashed[i], r.Unhashed[i]))
		}
		return benchdb.SpreadOf(list)
	}
	r.Share = shares{
		CPU:          compare(func(a, b ingested) float64 { return share(a.cpu(), b.cpu()) }),
		Time:         compare(func(a, b ingested) float64 { return share(a.Seconds, b.Seconds) }),
		GoMicros:     compare(func(a, b ingested) float64 { return r.micros(a.GoCPU - b.GoCPU) }),
		ServerMicros: compare(func(a, b ingested) float64 { return r.micros(a.ServerCPU - b.ServerCPU) }),
	}
}

func share(with, without float64) float64 {
	if with == 0 {
		return 0
	}
	return 1 - without/with
}

// micros is an event's part of the seconds that all took.
func (r *report) micros(seconds float64) float64 { return seconds / float64(r.Machine.Events) * 1e6 }

func (r *report) print(w io.Writer, format string) error {
	r.finish()
	if format == "json" {
		return benchingest.PrintJSON(w, r)
	}
	fmt.Fprintf(w, "%s\n\n", r.Machine)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "events/s\tGo CPU µs/event\tPostgreSQL's\tKafka's\t \t")
	cpu := r.printIngest(t, "ingest with hashes", r.Hashed)
	r.printIngest(t, "without", r.Unhashed)
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nhashes' share of ingest: %s %% of CPU, %s %% of time; goal %.0f %%\n",
		text("%.1f", r.Share.CPU, 100), text("%.1f", r.Share.Time, 100), 100*shareGoal)
	fmt.Fprintf(w, "hashes' part of an event: %s µs of Go CPU, %s µs of PostgreSQL's\n",
		text("%.2f", r.Share.GoMicros, 1), text("%.2f", r.Share.ServerMicros, 1))
	fmt.Fprintf(w, "one leaf by itself: %.2f µs", r.LeafMicros)
	if cpu > 0 {
		fmt.Fprintf(w, ", %.1f %% of an event's CPU", 100*r.LeafMicros/cpu)
	}
	fmt.Fprintln(w)
	fmt.Fprintf(w, "tiles: %.0f leaves/s\nproofs: %.0f/s one by one, %.0f/s in bulk\n", r.TilesPerSecond, r.ProofsSingly, r.ProofsInBulk)
	for _, v := range r.Verify {
		fmt.Fprintf(w, "verify --database, %d workers: %.0f events/s (%.2f of one)\n", v.Workers, v.Rate, v.Rate/r.Verify[0].Rate)
	}
	return nil
}

// printIngest prints medians over the rounds, and answers the CPU time of an event in microseconds.
func (r *report) printIngest(w io.Writer, name string, rounds []ingested) (cpu float64) {
	of := func(value func(ingested) float64) float64 {
		var list []float64
		for _, a := range rounds {
			list = append(list, value(a))
		}
		return benchdb.Median(list)
	}
	fmt.Fprintf(w, "%.0f\t%.2f\t%.2f\t%.2f\t  %s\t\n",
		of(func(a ingested) float64 { return float64(r.Machine.Events) / a.Seconds }),
		of(func(a ingested) float64 { return r.micros(a.GoCPU) }),
		of(func(a ingested) float64 { return r.micros(a.ServerCPU) }),
		of(func(a ingested) float64 { return r.micros(a.KafkaCPU) }), name)
	return of(func(a ingested) float64 { return r.micros(a.cpu()) })
}

// text is the median, with the least and the most.
func text(format string, s benchdb.Spread, times float64) string {
	return fmt.Sprintf(format+" ("+format+" to "+format+")", times*s.Median, times*s.Least, times*s.Most)
}
