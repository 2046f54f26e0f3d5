package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"strings"

	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

// bench is what all measurements share.
type bench struct {
	*benchingest.Stage
	opts     options
	psql     string // the client that ingest is measured against
	program  string // the one under test
	workload *workload
}

// measurement is one line of the report, taken once a round.
type measurement struct {
	name    string
	title   string
	measure func(context.Context, *bench) (reading, error)
	asked   bool // taken only where --only names it
}

// reading is what one measurement found. Zero fields were not measured.
type reading struct {
	Records   int     `json:"records"`
	Seconds   float64 `json:"seconds"`
	StartupS  float64 `json:"startupSeconds,omitempty"`  // process start until partitions are assigned
	CPU       float64 `json:"cpuSeconds,omitempty"`      // of the ingest process, while the clock ran
	KafkaCPU  float64 `json:"kafkaCpuSeconds,omitempty"` // of the broker, while the clock ran
	PeakBytes int64   `json:"peakBytes,omitempty"`       // resident memory of the ingest process
	Stored    int64   `json:"stored"`

	// How far the rollups were behind at most, and how long they took for the rest after the clock had stopped.
	Behind   float64 `json:"behindSeconds,omitempty"`
	CaughtUp float64 `json:"caughtUpSeconds,omitempty"`
}

func (s reading) rate() float64 { return float64(s.Records) / s.Seconds }

// measurements in the order of a round. \copy runs before and between, so that a machine that slows
// down during the run slows all alike.
func measurements() []measurement {
	return []measurement{
		{copyBrief, `psql \copy, brief's schema`, copyIntoBrief, false},
		{copyOwn, `psql \copy, our tables`, copyIntoOwn, false},
		{ingestAll, "ingest from Kafka", ingestEvents, false},
		{ingestRepeats, "ingest, half duplicates", ingestHalfDuplicates, false},
		{tracedName, "ingest, 1 % traced", ingestTraced, true},
		{countedName, "ingest with analytics", ingestCounted, true},
	}
}

// Names of the measurements, as --only and the JSON output have them.
const (
	copyBrief     = "copy-brief"
	copyOwn       = "copy-own"
	ingestAll     = "ingest"
	ingestRepeats = "ingest-repeats"
	tracedName    = "ingest-traced"
	countedName   = "ingest-analytics"
)

// run takes all measurements and writes the report.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	chosen, err := choose(opts.only)
	if err != nil {
		return err
	}
	b, err := open(ctx, opts)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ofIngest := func(m measurement) bool { return m.name != copyBrief && m.name != copyOwn }
	if slices.ContainsFunc(chosen, ofIngest) {
		traced := slices.ContainsFunc(chosen, func(m measurement) bool { return m.name == tracedName })
		if err := b.fillTopics(ctx, traced); err != nil {
			return err
		}
	}
	results := report{Machine: b.Describe(b.workload.records, opts.roles)}
	for round := range opts.Rounds {
		for _, m := range chosen {
			s, err := m.measure(ctx, b)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", m.name, round+1, err)
			}
			results.add(m, s)
			benchingest.Progress("round %d of %d: %-28s %8.0f records/s", round+1, opts.Rounds, m.title, s.rate())
		}
	}
	if opts.profile != "" {
		if err := b.profile(ctx, opts.profile); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return results.print(out, opts.Output)
}

func choose(only string) ([]measurement, error) {
	all := measurements()
	if only == "" {
		return slices.DeleteFunc(all, func(m measurement) bool { return m.asked }), nil
	}
	var chosen []measurement
	for _, name := range strings.Split(only, ",") {
		i := slices.IndexFunc(all, func(m measurement) bool { return m.name == name })
		if i < 0 {
			return nil, fmt.Errorf("--only: there is no measurement %q", name)
		}
		chosen = append(chosen, all[i])
	}
	return chosen, nil
}

// open starts PostgreSQL and makes the program and the workload. The program is built even where only
// \copy is measured, since its migrations make the tables.
func open(ctx context.Context, opts options) (_ *bench, err error) {
	b := &bench{opts: opts}
	if b.psql, err = exec.LookPath("psql"); err != nil {
		return nil, fmt.Errorf("psql is what ingest is measured against: %w", err)
	}
	if b.Stage, err = benchingest.Open(ctx, opts.Options, nil); err != nil {
		return nil, err
	}
	if b.program, err = b.Build(ctx, "audittrail"); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	records, err := opts.Records()
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	benchingest.Progress("writing %d events for \\copy", len(records))
	if b.workload, err = newWorkload(records, b.Dir); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return b, nil
}

func (b *bench) fillTopics(ctx context.Context, traced bool) error {
	if err := b.StartBroker(ctx); err != nil {
		return err
	}
	if traced {
		if err := b.LoadWith(ctx, map[string][]sample.Record{topicTraced: b.workload.records}, traceparents); err != nil {
			return err
		}
	}
	return b.Load(ctx, map[string][]sample.Record{topicAll: b.workload.records, topicRepeats: b.workload.halfDuplicates()})
}
