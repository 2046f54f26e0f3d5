// Command ingest measures how fast events get from Kafka into the event store, beside what psql's
// \copy needs for the same events on the same server, in one run and round about. bench/README.md
// has the method.
//
//	go run ./bench/ingest
//
// It belongs to no release: what is measured is the program as it is built from this tree, running as
// a process of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"audittrail/platform/kafkatest"
)

type options struct {
	events     int
	rounds     int
	partitions int
	output     string
	only       string
	profile    string
	roles      string
	libs       string
	brokers    string
	keepLog    string
}

func main() {
	if os.Getenv(fakeBrokerVariable) != "" {
		os.Exit(exitStatus(serveFakeBroker()))
	}
	opts, err := parse(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/ingest:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(exitStatus(run(ctx, opts, os.Stdout)))
}

func exitStatus(err error) int {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/ingest:", err)
		return 1
	}
	return 0
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench/ingest", flag.ContinueOnError)
	flags.IntVar(&o.events, "events", 300_000, "how many events each measurement is over")
	flags.IntVar(&o.rounds, "rounds", 3, "how often all measurements are taken, one after the other")
	flags.IntVar(&o.partitions, "partitions", 6, "of the topic")
	flags.StringVar(&o.output, "output", "table", "table or json")
	flags.StringVar(&o.only, "only", "", "measurements to take, with commas, of copy-brief, copy-own, ingest, ingest-repeats (default all)")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the ingest process to this file, from one more round that is not counted")
	flags.StringVar(&o.roles, "roles", "ingest", "roles of the ingest process")
	flags.StringVar(&o.libs, "kafka-libs", os.Getenv(kafkatest.LibsVariable), "folder of Apache Kafka's jars; without it and --kafka-brokers, a simulated broker")
	flags.StringVar(&o.brokers, "kafka-brokers", os.Getenv(kafkatest.BrokersVariable), "host:port of a running Kafka")
	flags.StringVar(&o.keepLog, "log", "", "write the ingest processes' log to this file")
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
	case o.partitions < 1:
		return o, errors.New("--partitions must be 1 or more")
	case o.output != "table" && o.output != "json":
		return o, errors.New("--output must be table or json")
	}
	return o, nil
}
