// Package benchingest is what benchmarks of ingest share: the broker that events wait in, the program
// under test as a process of its own, the clock, and what processes use meanwhile.
//
// It decides nothing about what is compared with what: that is the benchmarks' part.
package benchingest

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"audittrail/bench/internal/benchdb"
	"audittrail/modules/sample"
	"audittrail/platform/kafkatest"
)

// leastEvents are so few that nothing is measured of less.
const leastEvents = 1000

// Options are what every benchmark of ingest takes.
type Options struct {
	Events     int    // that are made, to wait in a topic
	Live       bool   // events of the last minute and not of last month
	File       string // of events that are there, in their place; empty for none
	Rounds     int    // how often measurements are taken
	Partitions int    // of a topic
	Output     string // table or json
	Libs       string // folder of Apache Kafka's jars; see Broker
	Brokers    string // host:port of a running Kafka, with commas; see Broker
	KeepLog    string // file for what the ingest processes say; empty for standard error
	Data       string // folder that keeps the databases for the next run; empty for a temporary one
}

// Flags are the flags of the options, to which a benchmark adds its own. rounds is the default of
// --rounds: how many a steady median takes is for the benchmark to say.
func (o *Options) Flags(name string, rounds int) *flag.FlagSet {
	flags := flag.NewFlagSet(name, flag.ContinueOnError)
	flags.IntVar(&o.Events, "events", 300_000, "how many events each measurement is over")
	flags.BoolVar(&o.Live, "live", false, "events of the last minute, as live traffic has them, in place of last month's")
	flags.StringVar(&o.File, "file", "", "measure all the events of this file in place of made ones: NDJSON, plain or gzip, each with an id of its own")
	flags.IntVar(&o.Rounds, "rounds", rounds, "how often all measurements are taken, one after the other")
	flags.IntVar(&o.Partitions, "partitions", 6, "of the topic")
	flags.StringVar(&o.Output, "output", "table", "table or json")
	flags.StringVar(&o.Libs, "kafka-libs", os.Getenv(kafkatest.LibsVariable), "folder of Apache Kafka's jars; without it and --kafka-brokers, a simulated broker")
	flags.StringVar(&o.Brokers, "kafka-brokers", os.Getenv(kafkatest.BrokersVariable), "host:port of a running Kafka")
	flags.StringVar(&o.KeepLog, "log", "", "write the ingest processes' log to this file")
	return flags
}

// Parse reads the arguments and refuses what makes no measurement.
func (o *Options) Parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return err
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.Live && o.File != "":
		return errors.New("--live and --file exclude each other")
	case o.Events < leastEvents:
		return fmt.Errorf("--events must be %d or more", leastEvents)
	case o.Rounds < 1:
		return errors.New("--rounds must be 1 or more")
	case o.Partitions < 1:
		return errors.New("--partitions must be 1 or more")
	case o.Output != "table" && o.Output != "json":
		return errors.New("--output must be table or json")
	}
	return nil
}

// Records are the events that are measured.
func (o *Options) Records() ([]sample.Record, error) {
	switch {
	case o.Live:
		return benchdb.LiveOrders(o.Events), nil
	case o.File == "":
		return benchdb.Orders(o.Events), nil
	}
	records, err := benchdb.File(o.File)
	if err == nil && len(records) < leastEvents {
		err = fmt.Errorf("%s has %d events, which is less than %d", o.File, len(records), leastEvents)
	}
	return records, err
}

// Main is a benchmark's main and answers the exit status. A process that was started as the simulated
// broker of another is that instead.
func Main[O any](name string, parse func(args []string) (O, error), run func(context.Context, O, io.Writer) error) int {
	if status, is := ServedBroker(); is {
		return status
	}
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, opts, os.Stdout); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		return 1
	}
	return 0
}

// Progress tells a person at the terminal what is going on; results go to standard output.
func Progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
