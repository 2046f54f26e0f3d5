package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"testing"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/platform/longtest"
)

func TestMain(m *testing.M) {
	if status, is := benchingest.ServedBroker(); is { // this binary stands in for the benchmark's own
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// TestAllMeasurements runs the whole benchmark with few events, real ones: it must not rot between the
// days on which somebody needs it. Its numbers mean nothing.
func TestAllMeasurements(t *testing.T) {
	longtest.Only(t, "it builds the program twice, and measures with both")
	opts, err := parse([]string{"--file", "../../cmd/systemtest/testdata/purchase-orders-excerpt.jsonl.gz", "--rounds", "2", "--proofs", "10", "--partitions", "2", "--output", "json",
		"--kafka-libs", "", "--kafka-brokers", ""})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), opts, &out); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	if got.Machine.Events != 2277 || len(got.Hashed) != 2 || len(got.Unhashed) != 2 || len(got.Verify) < 2 {
		t.Fatalf("%d events, %d and %d ingests, %d verifications", got.Machine.Events, len(got.Hashed), len(got.Unhashed), len(got.Verify))
	}
	for name, value := range map[string]float64{"ingest": got.Hashed[0].Seconds, "ingest without hashing": got.Unhashed[0].Seconds, "leaf": got.LeafMicros, "tiles": got.TilesPerSecond,
		"proofs": got.ProofsSingly, "proofs in bulk": got.ProofsInBulk, "verify": got.Verify[0].Rate} {
		if value <= 0 {
			t.Errorf("%s was not measured", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"--events", "1"}, {"--file", "a", "--events", "999"}, {"--rounds", "0"}, {"--proofs", "0"}, {"--output", "xml"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

func TestSharesAreComparedRoundByRound(t *testing.T) {
	r := report{Machine: benchingest.Machine{Events: 1_000_000}}
	for _, round := range []struct{ with, without ingested }{
		{ingested{Seconds: 10, GoCPU: 4, ServerCPU: 6}, ingested{Seconds: 9, GoCPU: 3, ServerCPU: 6}},       // a tenth
		{ingested{Seconds: 100, GoCPU: 40, ServerCPU: 60}, ingested{Seconds: 80, GoCPU: 30, ServerCPU: 50}}, // a fifth, all of it slow
		{ingested{Seconds: 10, GoCPU: 4, ServerCPU: 6}, ingested{Seconds: 11, GoCPU: 4, ServerCPU: 7}},      // noise
	} {
		r.add(true, round.with)
		r.add(false, round.without)
	}
	r.finish()
	for name, c := range map[string]struct{ got, want benchdb.Spread }{
		"CPU":             {r.Share.CPU, benchdb.Spread{Median: 0.1, Least: -0.1, Most: 0.2}},
		"time":            {r.Share.Time, benchdb.Spread{Median: 0.1, Least: -0.1, Most: 0.2}},
		"Go's":            {r.Share.GoMicros, benchdb.Spread{Median: 1, Least: 0, Most: 10}},
		"the server's":    {r.Share.ServerMicros, benchdb.Spread{Median: 0, Least: -1, Most: 10}},
		"none to compare": {benchdb.SpreadOf(nil), benchdb.Spread{}},
	} {
		near := func(a, b float64) bool { return math.Abs(a-b) < 1e-9 }
		if !near(c.got.Median, c.want.Median) || !near(c.got.Least, c.want.Least) || !near(c.got.Most, c.want.Most) {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
	if got := share(0, 0); got != 0 {
		t.Errorf("of what could not be read: %v", got)
	}
}
