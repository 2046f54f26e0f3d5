// Command anomalies measures what the anomaly detectors find: recall and precision by kind, over labelled anomalies in
// sample traffic or in events of a file, and false alarms a day where nothing was injected. bench/README.md has the
// method.
//
//	go run ./bench/anomalies
//	go run ./bench/anomalies --file purchase-orders.jsonl.gz
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
	"time"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
)

type options struct {
	file, sensitivity string
	seed              uint64
	days, orders      int
	step              time.Duration
	verbose           bool
}

func main() { os.Exit(benchingest.Main("bench/anomalies", parse, run)) }

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench/anomalies", flag.ContinueOnError)
	flags.StringVar(&o.file, "file", "", "NDJSON of events, plain or gzip, in place of sample traffic")
	flags.StringVar(&o.sensitivity, "sensitivity", "medium", "analytics.sensitivity")
	flags.Uint64Var(&o.seed, "seed", 1, "decides everything that is random")
	flags.IntVar(&o.days, "days", 14, "days that are looked at, after nine weeks of history")
	flags.IntVar(&o.orders, "orders", 150, "orders a day of the sample traffic, about ten events each")
	flags.DurationVar(&o.step, "step", 6*time.Hour, "how much time passes between two looks at workflows")
	flags.BoolVar(&o.verbose, "v", false, "list what was missed, and false alarms")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if o.days < 7 || o.orders < 24 || o.step < time.Hour || o.step%time.Hour != 0 || o.step > 48*time.Hour {
		return o, errors.New("--days must be 7 or more, --orders 24 or more, and --step a number of hours up to 48")
	}
	return o, nil
}

func run(ctx context.Context, o options, out io.Writer) (err error) {
	scene, err := newScene(o)
	if err != nil {
		return err
	}
	server, err := benchdb.Start(ctx, map[string]string{"synchronous_commit": "off"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	quiet, err := look(ctx, server, o, scene)
	if err != nil {
		return err
	}
	labels := inject(scene, o.seed)
	disturbed, err := look(ctx, server, o, scene)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s, seed %d, sensitivity %s: %d events, %d of them injected, %d days looked at\n\n",
		scene.name, o.seed, o.sensitivity, len(scene.events), scene.injected, o.days)
	score(quiet, disturbed, labels, o.days).print(out, o.verbose)
	return nil
}
