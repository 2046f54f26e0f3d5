package main

import (
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"

	"audittrail/bench/internal/benchdb"
)

// report is what --output json prints.
type report struct {
	Cores      int        `json:"cores"`
	Go         string     `json:"go"`
	PostgreSQL string     `json:"postgresql"`
	Events     int        `json:"events"`
	Hashed     []appended `json:"hashed"`   // one a round
	Unhashed   []appended `json:"unhashed"` // of the same round
	Share      shares     `json:"share"`
	LeafMicros float64    `json:"leafMicroseconds"` // of one leaf by itself

	TilesPerSecond float64    `json:"tilesLeavesPerSecond"` // leaves that tiles of level 1 and up are made of
	ProofsSingly   float64    `json:"proofsPerSecondSingly"`
	ProofsInBulk   float64    `json:"proofsPerSecondInBulk"`
	Verify         []verified `json:"verify"`
}

// shares say which part of an append the ledger's hashes are: medians over rounds of 1 − without / with.
type shares struct {
	Time float64 `json:"time"`
	CPU  float64 `json:"cpu"` // of program and server together
	// GoMicros and ServerMicros are what hashes take of an event's CPU time.
	GoMicros     float64 `json:"goMicroseconds"`
	ServerMicros float64 `json:"serverMicroseconds"`
}

// shareGoal is the most that hashes may take of ingest.
const shareGoal = 0.03

type verified struct {
	Workers int     `json:"workers"`
	Rate    float64 `json:"eventsPerSecond"`
}

func (r *report) add(hashed bool, a appended) {
	if hashed {
		r.Hashed = append(r.Hashed, a)
	} else {
		r.Unhashed = append(r.Unhashed, a)
	}
}

// finish compares round by round, so that what slows a whole round falls out.
func (r *report) finish() {
	compare := func(value func(with, without appended) float64) float64 {
		var list []float64
		for i := range r.Hashed {
			list = append(list, value(r.Hashed[i], r.Unhashed[i]))
		}
		return benchdb.Median(list)
	}
	perEvent := 1e6 / float64(r.Events)
	r.Share = shares{
		Time:         compare(func(a, b appended) float64 { return 1 - b.Seconds/a.Seconds }),
		CPU:          compare(func(a, b appended) float64 { return 1 - (b.GoCPU+b.ServerCPU)/(a.GoCPU+a.ServerCPU) }),
		GoMicros:     compare(func(a, b appended) float64 { return (a.GoCPU - b.GoCPU) * perEvent }),
		ServerMicros: compare(func(a, b appended) float64 { return (a.ServerCPU - b.ServerCPU) * perEvent }),
	}
}

func (r *report) print(w io.Writer, format string) error {
	r.finish()
	if format == "json" {
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	fmt.Fprintf(w, "%d events; %d cores, %s; PostgreSQL %s, durable; %d writers, batches of %d\n\n",
		r.Events, r.Cores, r.Go, r.PostgreSQL, writers, batchEvents)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "append\tevents/s\tGo CPU µs/event\tPostgreSQL's\t")
	for _, line := range []struct {
		name   string
		rounds []appended
	}{{"with hashes", r.Hashed}, {"without", r.Unhashed}} {
		of := func(value func(appended) float64) float64 {
			var list []float64
			for _, a := range line.rounds {
				list = append(list, value(a))
			}
			return benchdb.Median(list)
		}
		perEvent := 1e6 / float64(r.Events)
		fmt.Fprintf(t, "%s\t%.0f\t%.2f\t%.2f\t\n", line.name, of(func(a appended) float64 { return a.rate(r.Events) }),
			of(func(a appended) float64 { return a.GoCPU * perEvent }), of(func(a appended) float64 { return a.ServerCPU * perEvent }))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nhashes' share of append: %.1f %% of time, %.1f %% of CPU (%.2f µs an event of ours, %.2f of PostgreSQL's); goal %.0f %%\n",
		100*r.Share.Time, 100*r.Share.CPU, r.Share.GoMicros, r.Share.ServerMicros, 100*shareGoal)
	fmt.Fprintf(w, "one leaf by itself: %.2f µs\n", r.LeafMicros)
	fmt.Fprintf(w, "tiles: %.0f leaves/s\nproofs: %.0f/s one by one, %.0f/s in bulk\n", r.TilesPerSecond, r.ProofsSingly, r.ProofsInBulk)
	for _, v := range r.Verify {
		fmt.Fprintf(w, "verify --database, %d workers: %.0f events/s (%.2f of one)\n", v.Workers, v.Rate, v.Rate/r.Verify[0].Rate)
	}
	return nil
}
