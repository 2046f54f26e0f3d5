// Command protect measures what sealed fields cost: ingest with and without them, pages of events that are opened, and
// keys that are wrapped anew. bench/README.md has the method.
//
//	go run ./bench/protect
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
	"strings"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

type options struct {
	benchingest.Options
	only     []string
	keys     int
	subjects int
	pages    int
	profile  string
}

// What --only names.
const (
	partIngest = "ingest"
	partOpen   = "open"
	partRotate = "rotate"
)

func main() { os.Exit(benchingest.Main("bench/protect", parse, run)) }

func parse(args []string) (options, error) {
	var o options
	flags := o.Flags("bench/protect", 3)
	only := flags.String("only", partIngest+","+partOpen+","+partRotate, "what to measure, with commas")
	flags.IntVar(&o.keys, "keys", 1_000_000, "how many subjects' keys the large store of keys has, which is also what is rotated")
	flags.IntVar(&o.subjects, "subjects", 30_000, "how many subjects the ingested events have at most: each workflow has one")
	flags.IntVar(&o.pages, "pages", 50, "how many pages of 1,000 events one measurement opens")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of ingest with 8 sealed fields to this file, from one more round that is not counted")
	if err := o.Parse(flags, args); err != nil {
		return o, err
	}
	o.only = strings.Split(*only, ",")
	for _, part := range o.only {
		if !slices.Contains([]string{partIngest, partOpen, partRotate}, part) {
			return o, fmt.Errorf("--only: there is no measurement %q", part)
		}
	}
	switch {
	case o.Events < 2*pageSize:
		return o, fmt.Errorf("--events must be %d or more", 2*pageSize)
	case o.keys < pageSize+1:
		return o, fmt.Errorf("--keys must be %d or more", pageSize+1)
	case o.subjects < 1 || o.pages < 1:
		return o, errors.New("--subjects and --pages must be 1 or more")
	}
	return o, nil
}

// settings: autovacuum comes when it likes, to one of what is compared and not to the other.
func settings() map[string]string { return map[string]string{"autovacuum": "off"} }

// bench is what all measurements share.
type bench struct {
	*benchingest.Stage
	opts    options
	program string
	records []sample.Record // with a person in each payload
	stores  []*keyStore
}

// run takes all measurements and writes the report.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	b := &bench{opts: opts}
	if b.records, err = opts.Records(); err != nil {
		return err
	}
	if err := addPersons(b.records, opts.subjects); err != nil {
		return err
	}
	if b.Stage, err = benchingest.Open(ctx, opts.Options, settings()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if b.program, err = b.Build(ctx, "audittrail"); err != nil {
		return err
	}
	r := &report{LoadBefore: benchingest.LoadAverage()}
	if slices.Contains(opts.only, partIngest) {
		if err := b.measureIngest(ctx, r); err != nil {
			return fmt.Errorf("ingest: %w", err)
		}
	}
	if slices.Contains(opts.only, partOpen) || slices.Contains(opts.only, partRotate) {
		defer func() { err = errors.Join(err, b.dropStores()) }()
		if err := b.fillStores(ctx); err != nil {
			return fmt.Errorf("fill: %w", err)
		}
	}
	if slices.Contains(opts.only, partOpen) {
		if err := b.measureOpening(ctx, r); err != nil {
			return fmt.Errorf("open: %w", err)
		}
	}
	if slices.Contains(opts.only, partRotate) {
		if err := b.measureRotation(ctx, r); err != nil {
			return fmt.Errorf("rotate: %w", err)
		}
	}
	r.Machine, r.LoadAfter = b.Describe(b.records, roles), benchingest.LoadAverage()
	return r.print(out, opts.Output)
}

// series is what one measurement found, a number a round.
type series []float64

func (s series) median() float64 { return benchdb.Median(s) }

// over compares two series round by round, so that what slows a whole round falls out.
func (s series) over(peer series) benchdb.Spread {
	quotients := make([]float64, len(s))
	for i := range s {
		quotients[i] = s[i] / peer[i]
	}
	return benchdb.SpreadOf(quotients)
}

// less returns how much more a series is than its peer, round by round.
func (s series) less(peer series) benchdb.Spread {
	differences := make([]float64, len(s))
	for i := range s {
		differences[i] = s[i] - peer[i]
	}
	return benchdb.SpreadOf(differences)
}
