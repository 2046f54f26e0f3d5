package main

import (
	"fmt"
	"io"
	"runtime"
	"text/tabwriter"
	"time"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
)

// The goals: of pgbench's rate, of COPY's, and of the small store's rate on the large one.
const (
	pgbenchGoal = 0.6
	copyGoal    = 0.9
	largeGoal   = 0.8
)

// report is what --output json prints.
type report struct {
	Machine machine      `json:"machine"`
	Stores  []int64      `json:"stores"` // events in each
	Rows    []*row       `json:"rows"`
	Exports []*exportRow `json:"exports"`
}

// machine is what the numbers were taken on. Both sides share its cores with PostgreSQL, and with whatever else runs.
type machine struct {
	Cores      int    `json:"cores"`
	OS         string `json:"os"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	Templates  int    `json:"templates"` // different events that the stores are made of
	Commit     string `json:"commit"`    // how long one takes, alone
	LoadBefore string `json:"loadBefore"`
	LoadAfter  string `json:"loadAfter"`
}

func describe(postgres string, records int, commit time.Duration) machine {
	return machine{
		Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(), PostgreSQL: postgres,
		Templates: min(records, benchapi.MostTemplates), Commit: commit.Round(10 * time.Microsecond).String(), LoadBefore: benchingest.LoadAverage(),
	}
}

// row is what one kind of requests gave, at one concurrency.
type row struct {
	Store       int64      `json:"store"`
	Kind        string     `json:"kind"`
	Access      string     `json:"access"`
	Processes   int        `json:"processes"` // of the API
	Concurrency int        `json:"concurrency"`
	Rounds      []measured `json:"rounds"`
}

type measured struct {
	API     benchapi.Reading `json:"api"`
	Pgbench benchapi.Reading `json:"pgbench"`
	Peak    float64          `json:"peakMiB"` // of the API's process
}

type exportRow struct {
	Store  int64      `json:"store"`
	Access string     `json:"access"`
	Rounds []exported `json:"rounds"`
}

func (r *report) add(store int64, kind, access string, processes, concurrency int, m measured) {
	found := r.find(store, kind, access, processes, concurrency)
	if found == nil {
		found = &row{Store: store, Kind: kind, Access: access, Processes: processes, Concurrency: concurrency}
		r.Rows = append(r.Rows, found)
	}
	found.Rounds = append(found.Rounds, m)
}

func (r *report) find(store int64, kind, access string, processes, concurrency int) *row {
	for _, one := range r.Rows {
		if one.Store == store && one.Kind == kind && one.Access == access && one.Processes == processes && one.Concurrency == concurrency {
			return one
		}
	}
	return nil
}

func (r *report) addExport(store int64, access string, e exported) {
	found := r.findExport(store, access)
	if found == nil {
		found = &exportRow{Store: store, Access: access}
		r.Exports = append(r.Exports, found)
	}
	found.Rounds = append(found.Rounds, e)
}

func (r *report) findExport(store int64, access string) *exportRow {
	for _, one := range r.Exports {
		if one.Store == store && one.Access == access {
			return one
		}
	}
	return nil
}

// median is the middle of a value over the rounds.
func median[T any](rounds []T, value func(T) float64) float64 {
	list := make([]float64, len(rounds))
	for i, m := range rounds {
		list[i] = value(m)
	}
	return benchdb.Median(list)
}

func rateOf(m measured) float64        { return m.API.Rate }
func exportRateOf(e exported) float64  { return e.Export }
func cpuRatioOf(m measured) float64    { return m.Pgbench.CPU() / m.API.CPU() }
func exportRatioOf(e exported) float64 { return e.Export / e.Copy }

// ratioOf is 0 without pgbench.
func ratioOf(m measured) float64 {
	if m.Pgbench.Rate == 0 {
		return 0
	}
	return m.API.Rate / m.Pgbench.Rate
}

// ratioTo is the rate's ratio to another's, round by round.
func ratioTo[T any](other, this []T, rate func(T) float64) string {
	var ratios []float64
	for i := range min(len(other), len(this)) {
		ratios = append(ratios, rate(this[i])/rate(other[i]))
	}
	return fmt.Sprintf("%.2f", benchdb.Median(ratios))
}

func (r *report) print(w io.Writer, format string) error {
	if format == "json" {
		return benchingest.PrintJSON(w, r)
	}
	m := r.Machine
	fmt.Fprintf(w, "%d cores, %s, %s; PostgreSQL %s, durable, a commit in %s; stores made of %d events; load average %s before, %s after\n\n",
		m.Cores, m.OS, m.Go, m.PostgreSQL, m.Commit, m.Templates, m.LoadBefore, m.LoadAfter)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "store\taccess log\tAPIs\tat once\trequests/s\tp50 ms\tp99 ms\tpgbench\tp50 ms\tp99 ms\tratio\tCPU µs\tpgbench\tratio\tof small\tof off\tMiB\t \t")
	for _, one := range r.Rows {
		of := func(value func(measured) float64) float64 { return median(one.Rounds, value) }
		large := ""
		if one.Store != r.Stores[0] {
			large = ratioTo(r.find(r.Stores[0], one.Kind, one.Access, one.Processes, one.Concurrency).Rounds, one.Rounds, rateOf)
		}
		off := ""
		if without := r.find(one.Store, one.Kind, benchapi.AccessOff, one.Processes, one.Concurrency); without != nil && without != one {
			off = ratioTo(without.Rounds, one.Rounds, rateOf)
		}
		fmt.Fprintf(t, "%d\t%s\t%d\t%d\t%.0f\t%.2f\t%.2f\t%.0f\t%.2f\t%.2f\t%.2f\t%.0f + %.0f\t%.0f + %.0f\t%.2f\t%s\t%s\t%.0f\t  %s\t\n", one.Store, one.Access, one.Processes, one.Concurrency,
			of(rateOf), of(func(m measured) float64 { return m.API.P50 }), of(func(m measured) float64 { return m.API.P99 }),
			of(func(m measured) float64 { return m.Pgbench.Rate }), of(func(m measured) float64 { return m.Pgbench.P50 }),
			of(func(m measured) float64 { return m.Pgbench.P99 }), of(ratioOf),
			of(func(m measured) float64 { return m.API.OwnMicros }), of(func(m measured) float64 { return m.API.ServerMicros }),
			of(func(m measured) float64 { return m.Pgbench.OwnMicros }), of(func(m measured) float64 { return m.Pgbench.ServerMicros }), of(cpuRatioOf),
			large, off, of(func(m measured) float64 { return m.Peak }), one.Kind)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "goals: ratio %.1f, of small %.1f; exports, events/s, ratio %.1f:\n\n", pgbenchGoal, largeGoal, copyGoal)
	fmt.Fprintln(t, "store\taccess log\texport\tCOPY\tratio\tof small\tMiB\t")
	for _, one := range r.Exports {
		large := ""
		if one.Store != r.Stores[0] {
			large = ratioTo(r.findExport(r.Stores[0], one.Access).Rounds, one.Rounds, exportRateOf)
		}
		fmt.Fprintf(t, "%d\t%s\t%.0f\t%.0f\t%.2f\t%s\t%.0f\t\n", one.Store, one.Access, median(one.Rounds, exportRateOf),
			median(one.Rounds, func(e exported) float64 { return e.Copy }), median(one.Rounds, exportRatioOf), large,
			median(one.Rounds, func(e exported) float64 { return e.Peak }))
	}
	return t.Flush()
}
