// Command ledger measures what the ledger costs and gives: ingest with and without hashing, proofs a
// second, and how fast the whole database is verified with one worker and with more. bench/README.md has
// the method.
//
//	go run ./bench/ledger
//
// It belongs to no release.
package main

import (
	"context"
	"errors"
	"io"
	"os"

	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

type options struct {
	benchingest.Options
	proofs int
}

func main() { os.Exit(benchingest.Main("bench/ledger", parse, run)) }

// defaultRounds are more than bench/ingest has: a share of some percent is told from noise as large.
const defaultRounds = 5

func parse(args []string) (options, error) {
	var o options
	flags := o.Flags("bench/ledger", defaultRounds)
	flags.IntVar(&o.proofs, "proofs", 5_000, "how many events are proven one by one")
	err := o.Parse(flags, args)
	if err == nil && o.proofs < 1 {
		err = errors.New("--proofs must be 1 or more")
	}
	return o, err
}

// settings: autovacuum comes when it likes, and what it uses of two cores in one ingest and not in the
// other is more than the difference that is looked for.
func settings() map[string]string { return map[string]string{"autovacuum": "off"} }

// bench is what all measurements share.
type bench struct {
	*benchingest.Stage
	opts     options
	records  []sample.Record
	programs map[bool]string // as the program is (true), and without hashing
}

// run takes all measurements and writes the report. What is read is measured first, of an ingest that is
// not counted: the first on a server pays for files that later ones find made.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	b := &bench{opts: opts}
	if b.records, err = opts.Records(); err != nil {
		return err
	}
	if b.Stage, err = benchingest.Open(ctx, opts.Options, settings()); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.build(ctx); err != nil {
		return err
	}
	if err := b.StartBroker(ctx); err != nil {
		return err
	}
	if err := b.Load(ctx, map[string][]sample.Record{topic: b.records}); err != nil {
		return err
	}
	r := &report{Machine: b.Describe(b.records, roles)}
	if r.LeafMicros, err = measureLeaves(b.records); err != nil {
		return err
	}
	if err := b.measureReading(ctx, r); err != nil {
		return err
	}
	if err := b.measureHashing(ctx, r); err != nil {
		return err
	}
	return r.print(out, opts.Output)
}
