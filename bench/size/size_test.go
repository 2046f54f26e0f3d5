package main

import (
	"bytes"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"audittrail/bench/internal/benchingest"
	"audittrail/platform/longtest"
)

func TestMain(m *testing.M) {
	if status, is := benchingest.ServedBroker(); is { // this binary stands in for the benchmark's own
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// TestAllMeasurements runs the whole benchmark with few events, and once more on what the first run kept: it must not rot
// between the days on which somebody needs it. Its numbers mean nothing.
func TestAllMeasurements(t *testing.T) {
	longtest.Only(t, "it builds the program, and measures with two stores, twice")
	opts, err := parse([]string{"--sizes", "2000,4000", "--data", t.TempDir(), "--events", "1000", "--requests", "30", "--time", "1ms", "--kafka-libs", "",
		"--kafka-brokers", "", "--output", "json"})
	if err != nil {
		t.Fatal(err)
	}
	for _, events := range [][]int64{{2000, 4000}, {3000, 5000}} {
		var out bytes.Buffer
		if err := run(t.Context(), opts, &out); err != nil {
			t.Fatal(err)
		}
		var got report
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatalf("%v in %s", err, out.Bytes())
		}
		for i, r := range got.Stores {
			if r.Events != events[i] || r.Verified.Events != events[i] || r.Ingested.Events != 1000 || r.Ingested.WAL == 0 || r.StartAPI <= 0 || r.StartAll <= 0 || r.Idle <= 0 || r.Newest <= 0 {
				t.Errorf("%d events: %+v", events[i], r)
			}
			if !slices.ContainsFunc(r.Bytes, func(s sized) bool { return s.Name == "events_payload" && s.Bytes > 0 }) {
				t.Errorf("%d events: there is no index events_payload in %v", events[i], r.Bytes)
			}
			for _, p := range r.Paths {
				if m := p.Rounds[0]; m.Rate <= 0 || m.P50 <= 0 || m.Hit+m.Read < 1 {
					t.Errorf("%d events: %s: %+v", events[i], p.Kind, m)
				}
			}
		}
		var table bytes.Buffer
		if err := got.print(&table, "table"); err != nil {
			t.Fatal(err)
		}
		t.Log("\n" + table.String())
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"--sizes", "10"}, {"--sizes", "5000,2000"}, {"--only", "export"}, {"--time", "0s"}, {"--concurrency", "0"}, {"--requests", "0"},
		{"--sizes", "1000", "--requests", "1001"}, {"--file", "events.jsonl"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
