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
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"

	"audittrail/bench/internal/benchdb"
)

type options struct {
	events int
	rounds int
	proofs int
	output string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if len(os.Args) == 4 && os.Args[1] == appendArgument {
		os.Exit(exitStatus(appendAsChild(ctx, os.Args[2], os.Args[3])))
	}
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/ledger:", err)
		os.Exit(2)
	}
	os.Exit(exitStatus(run(ctx, opts, os.Stdout)))
}

func exitStatus(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/ledger:", err)
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench/ledger", flag.ContinueOnError)
	flags.IntVar(&o.events, "events", 300_000, "how many events each measurement is over")
	flags.IntVar(&o.rounds, "rounds", 3, "how often all measurements are taken, one after the other")
	flags.IntVar(&o.proofs, "proofs", 5_000, "how many events are proven one by one")
	flags.StringVar(&o.output, "output", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.events < 1000:
		return o, errors.New("--events must be 1000 or more")
	case o.rounds < 1:
		return o, errors.New("--rounds must be 1 or more")
	case o.proofs < 1:
		return o, errors.New("--proofs must be 1 or more")
	case o.output != "table" && o.output != "json":
		return o, errors.New("--output must be table or json")
	}
	return o, nil
}

// run takes all measurements and writes the report. The database that the last append with hashing left
// is what proofs and verification are measured on.
func run(ctx context.Context, opts options, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "audittrail-bench-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	progress("building")
	programs, err := build(ctx, dir)
	if err != nil {
		return err
	}
	server, err := benchdb.Start(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()

	r := &report{Cores: runtime.NumCPU(), Go: runtime.Version(), PostgreSQL: server.Postgres.Version(), Events: opts.events}
	for round := range opts.rounds {
		// Each takes the first place in turn, so that a machine that slows down slows both alike.
		for i := range 2 {
			hashed := (round+i)%2 == 0
			a, err := measureAppend(ctx, server, programs, hashed, opts.events)
			if err != nil {
				return err
			}
			r.add(hashed, a)
			progress("round %d of %d: append, hashing %-5s %8.0f events/s", round+1, opts.rounds, strconv.FormatBool(hashed), a.rate(opts.events))
		}
	}
	r.LeafMicros = measureLeaves(opts.events)
	if err := measureReading(ctx, server, programs, opts, r); err != nil {
		return err
	}
	return r.print(out, opts.output)
}

// progress tells a person at the terminal what is going on; results go to standard output.
func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

// programPath is where a build of this program lies.
func programPath(dir string, hashed bool) string {
	return filepath.Join(dir, "ledger-hashed-"+strconv.FormatBool(hashed))
}
