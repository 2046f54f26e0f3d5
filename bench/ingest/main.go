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
	"os"

	"audittrail/bench/internal/benchingest"
)

type options struct {
	benchingest.Options
	only    string
	profile string
	roles   string
}

func main() { os.Exit(benchingest.Main("bench/ingest", parse, run)) }

func parse(args []string) (options, error) {
	var o options
	flags := o.Flags("bench/ingest", 3)
	flags.StringVar(&o.only, "only", "", "measurements to take, with commas, of copy-brief, copy-own, ingest, ingest-repeats (default these four), ingest-traced and ingest-analytics")
	flags.StringVar(&o.profile, "cpuprofile", "", "write a CPU profile of the ingest process to this file, from one more round that is not counted")
	flags.StringVar(&o.roles, "roles", "ingest", "roles of the ingest process")
	err := o.Parse(flags, args)
	return o, err
}
