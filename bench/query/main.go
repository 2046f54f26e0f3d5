// Command query measures the reading side of the API: requests of each kind against pgbench with the same SQL, an
// export against COPY, and a large store against a small one. bench/README.md has the method.
//
//	go run ./bench/query
//
// It belongs to no release.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

type options struct {
	events, large int64 // of the stores; large may be 0
	file          string
	rounds        int
	lasts         time.Duration // one measurement of one side
	concurrency   []int
	processes     []int // of the API
	commitDelay   time.Duration
	kinds         []string
	access        []string
	requests      int
	pgbench       bool
	exported      int64
	dir           string // that keeps the stores; empty for a temporary one
	profile       string
	output        string
	log           string
}

func main() {
	if status, is := benchapi.Served(); is {
		os.Exit(status)
	}
	os.Exit(benchingest.Main("bench/query", parse, run))
}

// kindExport is measured by itself, but chosen as the others are.
const kindExport = "export"

func kindNames() []string {
	var names []string
	for _, k := range benchapi.Kinds() {
		names = append(names, k.Name)
	}
	return append(names, kindExport)
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench/query", flag.ContinueOnError)
	flags.Int64Var(&o.events, "events", 100_000, "how many events the small store has")
	flags.Int64Var(&o.large, "large", 3_000_000, "how many events the large store has; 0 for none")
	flags.StringVar(&o.file, "file", "", "make the stores of this file's events in place of made ones: NDJSON, plain or gzip")
	flags.IntVar(&o.rounds, "rounds", 3, "how often all measurements are taken, one after the other")
	flags.DurationVar(&o.lasts, "time", 3*time.Second, "how long one measurement of one side takes; whole seconds")
	concurrency := flags.String("concurrency", "1,16,64", "how many requests are under way at once")
	processes := flags.String("processes", "1", "how many processes serve the API; requests are spread over them evenly")
	flags.DurationVar(&o.commitDelay, "commit-delay", 0, "have each commit wait so long before its flush, as on slower disks: at most 100ms")
	only := flags.String("only", strings.Join(kindNames(), ","), "what is measured")
	access := flags.String("access", "strict", "of strict and best_effort, which are values of access.mode, and off: an API without the access log")
	flags.IntVar(&o.requests, "requests", 100, "how many different requests of a kind there are")
	flags.BoolVar(&o.pgbench, "pgbench", true, "measure pgbench too; false where APIs are compared with each other")
	flags.Int64Var(&o.exported, "exported", 100_000, "how many events an export has")
	flags.StringVar(&o.dir, "data", "", "folder that keeps the stores for the next run; made where it does not exist")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the first API, over all of its measurements, to this file")
	flags.StringVar(&o.output, "output", "table", "table or json")
	flags.StringVar(&o.log, "log", os.DevNull, "write the APIs' log to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.concurrency, err = numbers("--concurrency", *concurrency); err != nil {
		return o, err
	}
	if o.processes, err = numbers("--processes", *processes); err != nil {
		return o, err
	}
	o.kinds, o.access = strings.Split(*only, ","), strings.Split(*access, ",")
	return o, errors.Join(known("--only", o.kinds, kindNames()), known("--access", o.access, []string{"strict", "best_effort", benchapi.AccessOff}), o.check(flags))
}

// numbers reads a list of positive numbers.
func numbers(flag, list string) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return nil, fmt.Errorf("%s: %q is no number of them", flag, text)
		}
		all = append(all, n)
	}
	return all, nil
}

func known(flag string, list, all []string) error {
	for _, one := range list {
		if !slices.Contains(all, one) {
			return fmt.Errorf("%s: %q is none of %s", flag, one, strings.Join(all, ", "))
		}
	}
	return nil
}

func (o options) check(flags *flag.FlagSet) error {
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.events < 1000, o.large != 0 && o.large <= o.events:
		return errors.New("--events must be 1000 or more, and --large more than that or 0")
	case o.rounds < 1:
		return errors.New("--rounds must be 1 or more")
	case o.lasts < time.Second, o.lasts%time.Second != 0:
		return errors.New("--time must be whole seconds")
	case o.commitDelay < 0, o.commitDelay > 100*time.Millisecond:
		return errors.New("--commit-delay must be from 0 to 100ms")
	case o.requests < 1, o.requests > mostScripts:
		return fmt.Errorf("--requests must be from 1 to %d", mostScripts)
	case o.exported < 1, o.exported > o.events:
		return errors.New("--exported must be from 1 to --events")
	case o.output != "table" && o.output != "json":
		return errors.New("--output must be table or json")
	}
	return nil
}

func (o options) records() ([]sample.Record, error) {
	if o.file == "" {
		return benchdb.Orders(int(min(o.events, benchapi.MostTemplates))), nil
	}
	return benchdb.File(o.file)
}

// settings: autovacuum comes when it likes, and there may be as many clients as requests at once. With commit_delay,
// the first of the commits that flush together waits before the flush, also if it is alone.
func (o options) settings() map[string]string {
	return map[string]string{
		"autovacuum": "off", "max_connections": "400", "commit_siblings": "0", "commit_delay": strconv.FormatInt(o.commitDelay.Microseconds(), 10),
	}
}

// run takes all measurements and writes the report.
func run(ctx context.Context, o options, out io.Writer) (err error) {
	records, err := o.records()
	if err != nil {
		return err
	}
	server, err := benchdb.StartIn(ctx, o.dir, o.settings())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	b := &bench{opts: o}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.open(ctx, server, records); err != nil {
		return err
	}
	if err := server.Settle(ctx); err != nil {
		return err
	}
	commit, err := server.CommitTime(ctx)
	if err != nil {
		return err
	}
	r := &report{Machine: describe(server.Postgres.Version(), len(records), commit), Stores: b.sizes()}
	for round := range o.rounds {
		benchingest.Progress("round %d of %d", round+1, o.rounds)
		for _, s := range b.subjects {
			if err := b.measure(ctx, s, r); err != nil {
				return err
			}
		}
	}
	r.Machine.LoadAfter = benchingest.LoadAverage()
	return r.print(out, o.output)
}
