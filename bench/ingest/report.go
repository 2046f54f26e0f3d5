package main

import (
	"encoding/json"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"audittrail/bench/internal/benchdb"
)

// report is what --output json prints.
type report struct {
	Machine machine  `json:"machine"`
	Results []result `json:"results"`
	Ratios  []ratio  `json:"ratios"`
}

type machine struct {
	Cores      int    `json:"cores"`
	OS         string `json:"os"`
	Go         string `json:"go"`
	PostgreSQL string `json:"postgresql"`
	Kafka      string `json:"kafka"`
	Events     int    `json:"events"`
	MeanBytes  int64  `json:"meanBytes"` // of a record's value
	Roles      string `json:"roles"`
}

type result struct {
	Name   string    `json:"name"`
	Rate   float64   `json:"recordsPerSecond"` // median of the rounds
	Rounds []reading `json:"rounds"`

	title string
}

// ratio compares two results round by round, so that what slows a whole round falls out.
type ratio struct {
	Of     string  `json:"of"`
	To     string  `json:"to"`
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
	Goal   float64 `json:"goal,omitempty"`
}

func describe(b *bench) machine {
	m := machine{
		Cores: runtime.NumCPU(), OS: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		PostgreSQL: b.postgres.Postgres.Version(), Kafka: "none", Events: b.opts.events,
		MeanBytes: b.workload.bytes / int64(b.opts.events), Roles: b.opts.roles,
	}
	if b.kafka != nil {
		m.Kafka = b.kafka.kind
	}
	return m
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
	r.Ratios = append(r.Ratios, ratio{Of: of, To: to, Median: benchdb.Median(quotients),
		Least: slices.Min(quotients), Most: slices.Max(quotients), Goal: goal})
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
		out := json.NewEncoder(w)
		out.SetIndent("", "  ")
		return out.Encode(r)
	}
	m := r.Machine
	fmt.Fprintf(w, "%d events of %d bytes; %d cores, %s, %s; PostgreSQL %s, durable; Kafka: %s; roles: %s\n\n",
		m.Events, m.MeanBytes, m.Cores, m.OS, m.Go, m.PostgreSQL, m.Kafka, m.Roles)
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
