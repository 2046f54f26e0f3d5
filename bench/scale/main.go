// Command scale measures how reading grows with processes of the API and with streaming replicas: requests/s, and what a
// request takes of the cores. bench/README.md has the method.
//
//	go run ./bench/scale
//
// It belongs to no release.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"audittrail/bench/internal/benchapi"
	"audittrail/bench/internal/benchingest"
)

type options struct {
	events              int64
	processes, replicas []int
	rounds              int
	lasts               time.Duration // one measurement
	concurrency         int
	kinds               []string
	access              string
	requests            int
	output, log         string
}

func main() {
	if status, is := benchapi.Served(); is {
		os.Exit(status)
	}
	os.Exit(benchingest.Main("bench/scale", parse, run))
}

func parse(args []string) (o options, err error) {
	flags := flag.NewFlagSet("bench/scale", flag.ContinueOnError)
	flags.Int64Var(&o.events, "events", 100_000, "how many events the store has")
	processes := flags.String("processes", "1,2,4", "how many processes serve the API")
	replicas := flags.String("replicas", "0,1,2", "how many streaming replicas they read from")
	flags.IntVar(&o.rounds, "rounds", 3, "how often all measurements are taken, one after the other")
	flags.DurationVar(&o.lasts, "time", 3*time.Second, "how long one measurement takes")
	flags.IntVar(&o.concurrency, "concurrency", 32, "how many requests are under way at once")
	only := flags.String("only", "event,aggregate,state", "what is asked; as in bench/query, but no export")
	flags.StringVar(&o.access, "access", "strict", "access.mode, or off: an API without the access log")
	flags.IntVar(&o.requests, "requests", 100, "how many different requests of a kind there are")
	flags.StringVar(&o.output, "output", "table", "table or json")
	flags.StringVar(&o.log, "log", os.DevNull, "write the APIs' log to this file")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	o.kinds = strings.Split(*only, ",")
	var errs [2]error
	o.processes, errs[0] = numbers("--processes", *processes, 1)
	o.replicas, errs[1] = numbers("--replicas", *replicas, 0)
	return o, errors.Join(errs[0], errs[1], o.check(flags))
}

// numbers reads a list of numbers.
func numbers(flag, list string, least int) (all []int, err error) {
	for text := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(text)
		if err != nil || n < least {
			return nil, fmt.Errorf("%s: %q is no number from %d on", flag, text, least)
		}
		all = append(all, n)
	}
	return all, nil
}

func (o options) check(flags *flag.FlagSet) error {
	var names []string
	for _, k := range benchapi.Kinds() {
		names = append(names, k.Name)
	}
	for _, one := range o.kinds {
		if !slices.Contains(names, one) {
			return fmt.Errorf("--only: %q is none of %s", one, strings.Join(names, ", "))
		}
	}
	switch {
	case flags.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.events < 1000:
		return errors.New("--events must be 1000 or more")
	case o.rounds < 1, o.concurrency < 1, o.requests < 1, o.lasts <= 0:
		return errors.New("--rounds, --concurrency, --requests and --time must be positive")
	case !slices.Contains([]string{"strict", "best_effort", benchapi.AccessOff}, o.access):
		return errors.New("--access must be strict, best_effort or off")
	case o.output != "table" && o.output != "json":
		return errors.New("--output must be table or json")
	}
	return nil
}
