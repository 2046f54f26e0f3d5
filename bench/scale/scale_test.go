package main

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"audittrail/bench/internal/benchapi"
	"audittrail/platform/longtest"
)

func TestMain(m *testing.M) {
	if status, is := benchapi.Served(); is { // this binary stands in for the benchmark's own
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// TestAllMeasurements runs the whole benchmark with few events: it must not rot between the days on which somebody needs
// it. Its numbers mean nothing, but for who did the work.
func TestAllMeasurements(t *testing.T) {
	longtest.Only(t, "it makes a replica, and measures with several APIs")
	opts, err := parse([]string{"--events", "2000", "--processes", "1,2", "--replicas", "0,1", "--rounds", "1", "--time", "1s", "--concurrency", "4",
		"--requests", "5", "--only", "event", "--output", "json"})
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
	if len(got.Rows) != 4 {
		t.Fatalf("%d rows", len(got.Rows))
	}
	for _, r := range got.Rows {
		m := r.Rounds[0]
		if m.Rate <= 0 || m.P50 <= 0 || m.OwnMicros <= 0 || m.ServerMicros <= 0 || m.CallerMicros <= 0 {
			t.Errorf("%d replicas, %d processes: %+v", r.Replicas, r.Processes, m)
		}
		if (m.ReplicaMicros > 0) != (r.Replicas > 0) {
			t.Errorf("%d replicas took %v µs of a request", r.Replicas, m.ReplicaMicros)
		}
	}
	var table bytes.Buffer
	if err := got.print(&table, "table"); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"--events", "1"}, {"--rounds", "0"}, {"--time", "0s"}, {"--concurrency", "0"}, {"--processes", "0"}, {"--replicas", "-1"},
		{"--only", "export"}, {"--access", "lax"}, {"--output", "xml"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

func TestWhereTheLimitLies(t *testing.T) {
	for want, one := range map[string]row{
		"event, 0 replicas, 2 APIs: the limit is the 2 cores; with a core for each part the primary, at 2000 requests/s": {"event", 0, 2,
			[]benchapi.Reading{{Rate: 1900, OwnMicros: 400, ServerMicros: 500, CallerMicros: 100}}},
		"state, 1 replicas, 1 APIs: the limit is waiting (0.20 of 2 cores are busy); with a core for each part the replicas, at 1000 requests/s": {"state", 1, 1,
			[]benchapi.Reading{{Rate: 100, OwnMicros: 500, ServerMicros: 400, ReplicaMicros: 1000, CallerMicros: 100}}},
		"event, 2 replicas, 1 APIs: the limit is the 2 cores; with a core for each part the API, at 1250 requests/s": {"event", 2, 1,
			[]benchapi.Reading{{Rate: 1000, OwnMicros: 800, ServerMicros: 100, ReplicaMicros: 900, CallerMicros: 200}}},
	} {
		if got := one.where(2); got != want {
			t.Errorf("%s; wanted %s", got, want)
		}
	}
}
