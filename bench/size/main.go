// Command size measures how everything grows with the store: the same measurements of stores with more and more events
// over the same three years. bench/README.md has the method.
//
//	go run ./bench/size --data /var/tmp/stores
//
// It belongs to no release.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

type options struct {
	benchingest.Options
	sizes       []int
	only, paths []string
	concurrency int
	requests    int
	lasts       time.Duration // one measurement of a path
}

// measurements are all that --only takes.
func measurements() []string { return []string{"start", "paths", "migrate", "verify", "ingest"} }

func main() { os.Exit(benchingest.Main("bench/size", parse, run)) }

func parse(args []string) (o options, err error) {
	flags := o.Flags("bench/size", 1)
	sizes := flags.String("sizes", "100000,1000000,10000000", "how many events the stores have, the smallest first")
	only := flags.String("only", strings.Join(measurements(), ","), "what is measured")
	paths := flags.String("paths", "", "the kinds of requests, with commas; all if not given")
	flags.StringVar(&o.Data, "data", "", "folder that keeps the stores for the next run; made where it does not exist")
	flags.IntVar(&o.concurrency, "concurrency", 2, "how many requests are under way at once; the API answers two of those that read many events")
	flags.IntVar(&o.requests, "requests", 100, "how many different requests of a kind there are")
	flags.DurationVar(&o.lasts, "time", time.Second, "how long one measurement of a path takes")
	if err := o.Parse(flags, args); err != nil {
		return o, err
	}
	for text := range strings.SplitSeq(*sizes, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1000 {
			return o, fmt.Errorf("--sizes: %q is no number from 1000 on", text)
		}
		o.sizes = append(o.sizes, n)
	}
	o.only = strings.Split(*only, ",")
	if *paths != "" {
		o.paths = strings.Split(*paths, ",")
	}
	for _, one := range o.only {
		if !slices.Contains(measurements(), one) {
			return o, fmt.Errorf("--only: %q is none of %s", one, strings.Join(measurements(), ", "))
		}
	}
	switch {
	case o.File != "":
		return o, errors.New("--file: events have to spread over three years, so they are made")
	case !slices.IsSorted(o.sizes):
		return o, errors.New("--sizes: the smallest comes first")
	case o.concurrency < 1, o.concurrency > 2, o.requests < 1, o.requests > o.sizes[0], o.lasts <= 0:
		return o, errors.New("--concurrency must be 1 or 2, --requests and --time positive, and there can't be more requests than events")
	}
	return o, nil
}

// bench is what all measurements share.
type bench struct {
	*benchingest.Stage
	opts    options
	program string
	stand   *benchapi.Stand

	emptyTopic string // for processes whose start is measured; a topic that is made again under its name is refused
}

// results are what was measured of one store. Zero fields were not measured, or there was nothing to do.
type results struct {
	Events   int64    `json:"events"`
	Fills    []filled `json:"fills"`
	Signing  float64  `json:"signingSeconds"` // by the notary, of what was not signed
	Bytes    []sized  `json:"bytes"`
	StartAPI float64  `json:"startAPISeconds"`
	StartAll float64  `json:"startAllSeconds"`
	Paths    []path   `json:"paths"`
	Idle     float64  `json:"migrateIdleSeconds"`
	Newest   float64  `json:"migrateNewestSeconds"`
	Verified verified `json:"verify"`
	Ingested *filled  `json:"ingested"`
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	b := &bench{opts: o, emptyTopic: fmt.Sprintf("size-empty-%d", time.Now().Unix())}
	if b.Stage, err = benchingest.Open(ctx, o.Options, settings()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if b.stand, err = benchapi.NewStand(os.DevNull); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stand.Close()) }()
	if b.program, err = b.Build(ctx, "audittrail"); err != nil {
		return err
	}
	if err := b.StartBroker(ctx); err != nil {
		return err
	}
	if err := b.Load(ctx, map[string][]sample.Record{b.emptyTopic: nil}); err != nil {
		return err
	}
	report := &report{Machine: b.machine()}
	var stores []*kept
	for _, n := range o.sizes {
		s, err := b.open(ctx, n)
		if err != nil {
			return fmt.Errorf("store of %d events: %w", n, err)
		}
		defer s.conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // nothing is lost with it
		stores = append(stores, s)
	}
	for _, s := range stores {
		r, err := b.measure(ctx, s)
		if err != nil {
			return fmt.Errorf("store of %d events: %w", s.events, err)
		}
		report.Stores = append(report.Stores, r)
	}
	return report.print(out, o.Output)
}

// measure takes the measurements of a store. Ingest is last, since the store grows by it.
func (b *bench) measure(ctx context.Context, s *kept) (r *results, err error) {
	r = &results{}
	if err := b.finish(ctx, s, r); err != nil {
		return nil, err
	}
	if r.Events, err = s.stored(ctx); err != nil {
		return nil, err
	}
	if r.Bytes, err = s.bytes(ctx); err != nil {
		return nil, err
	}
	if r.Fills, err = s.fills(ctx); err != nil {
		return nil, err
	}
	steps := map[string]func() error{
		"start": func() (err error) {
			if r.StartAPI, err = b.measureStart(ctx, s, "api"); err == nil {
				r.StartAll, err = b.measureStart(ctx, s, "ingest,api,replay,analytics,maintain,notary")
			}
			return err
		},
		"paths": func() error { return b.measurePaths(ctx, s, r) },
		"migrate": func() (err error) {
			r.Idle, r.Newest, err = b.measureMigrate(ctx, s)
			return err
		},
		"verify": func() (err error) {
			r.Verified, err = b.verify(ctx, s)
			return err
		},
		"ingest": func() error {
			f, err := b.ingestMore(ctx, s)
			r.Ingested = &f
			return err
		},
	}
	for _, name := range measurements() {
		if !slices.Contains(b.opts.only, name) {
			continue
		}
		benchingest.Progress("%d events: %s", s.events, name)
		if err := b.Server.Settle(ctx); err != nil {
			return nil, err
		}
		if err := steps[name](); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return r, nil
}

// settings: the stores are vacuumed before they are measured, and autovacuum is on while they are filled, as it should
// be elsewhere.
func settings() map[string]string {
	return map[string]string{"shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_planning": "on"}
}
