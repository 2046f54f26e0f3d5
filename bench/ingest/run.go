package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// bench is what all measurements share.
type bench struct {
	opts     options
	dir      string // temporary; readable for PostgreSQL's own user
	binary   string // the program under test
	workload *workload
	postgres *database
	kafka    *broker
	log      *os.File // of the ingest processes
}

// measurement is one line of the report, taken once a round.
type measurement struct {
	name    string
	title   string
	measure func(context.Context, *bench) (reading, error)
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
}

func (s reading) rate() float64 { return float64(s.Records) / s.Seconds }

// measurements in the order of a round. \copy runs before and between, so that a machine that slows
// down during the run slows all alike.
func measurements() []measurement {
	return []measurement{
		{copyBrief, `psql \copy, brief's schema`, copyIntoBrief},
		{copyOwn, `psql \copy, our tables`, copyIntoOwn},
		{ingestAll, "ingest from Kafka", ingestEvents},
		{ingestRepeats, "ingest, half duplicates", ingestHalfDuplicates},
	}
}

// Names of the measurements, as --only and the JSON output have them.
const (
	copyBrief     = "copy-brief"
	copyOwn       = "copy-own"
	ingestAll     = "ingest"
	ingestRepeats = "ingest-repeats"
)

// run takes all measurements and writes the report.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	chosen, err := choose(opts.only)
	if err != nil {
		return err
	}
	b := &bench{opts: opts}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(ctx, slices.ContainsFunc(chosen, func(m measurement) bool {
		return m.name == ingestAll || m.name == ingestRepeats
	})); err != nil {
		return err
	}
	results := report{Machine: describe(b)}
	for round := range opts.rounds {
		for _, m := range chosen {
			s, err := m.measure(ctx, b)
			if err != nil {
				return fmt.Errorf("%s, round %d: %w", m.name, round+1, err)
			}
			results.add(m, s)
			progress("round %d of %d: %-28s %8.0f records/s", round+1, opts.rounds, m.title, s.rate())
		}
	}
	if opts.profile != "" {
		if err := b.profile(ctx, opts.profile); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return results.print(out, opts.output)
}

func choose(only string) ([]measurement, error) {
	all := measurements()
	if only == "" {
		return all, nil
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

// open makes the workload and starts the servers. The program is built even where only \copy is
// measured, since its migrations make the tables.
func (b *bench) open(ctx context.Context, withKafka bool) (err error) {
	if b.dir, err = os.MkdirTemp("", "audittrail-bench-"); err != nil {
		return err
	}
	if err := os.Chmod(b.dir, 0o755); err != nil {
		return err
	}
	b.log = os.Stderr
	if b.opts.keepLog != "" {
		if b.log, err = os.Create(b.opts.keepLog); err != nil {
			return err
		}
	}
	if b.binary, err = build(ctx, b.dir); err != nil {
		return err
	}
	progress("making %d events", b.opts.events)
	if b.workload, err = newWorkload(b.opts.events, b.dir); err != nil {
		return err
	}
	if b.postgres, err = startPostgres(ctx); err != nil {
		return err
	}
	if !withKafka {
		return nil
	}
	if b.kafka, err = openBroker(ctx, b.opts, b.dir); err != nil {
		return err
	}
	return b.kafka.load(ctx, b.workload, int32(b.opts.partitions))
}

func (b *bench) close() error {
	var errs []error
	if b.kafka != nil {
		errs = append(errs, b.kafka.close())
	}
	if b.postgres != nil {
		errs = append(errs, b.postgres.Close())
	}
	if b.log != nil && b.log != os.Stderr {
		errs = append(errs, b.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(b.dir))...)
}

// progress tells a person at the terminal what is going on; results go to standard output.
func progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
