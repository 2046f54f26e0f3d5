package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
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

// TestAllMeasurements runs the whole benchmark with few events: it must not rot between the days on
// which somebody needs it. Its numbers mean nothing.
func TestAllMeasurements(t *testing.T) {
	longtest.Only(t, "it builds the program, and measures with it")
	if _, err := exec.LookPath("psql"); err != nil && os.Getenv("CI") == "" {
		t.Skip("psql is not installed")
	}
	stored := map[string]int64{copyBrief: 2000, copyOwn: 2000, ingestAll: 2000, ingestRepeats: 1000, tracedName: 2000, countedName: 2000}
	profile := filepath.Join(t.TempDir(), "cpu.prof")
	opts, err := parse([]string{"--events", "2000", "--rounds", "1", "--partitions", "2", "--output", "json",
		"--kafka-libs", "", "--kafka-brokers", "", "--only", "copy-brief,copy-own,ingest,ingest-repeats,ingest-traced,ingest-analytics"})
	if err != nil {
		t.Fatal(err)
	}
	opts.profile = profile
	var out bytes.Buffer
	if err := run(t.Context(), opts, &out); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	if len(got.Results) != len(stored) || len(got.Ratios) != 5 {
		t.Fatalf("%d measurements and %d ratios", len(got.Results), len(got.Ratios))
	}
	for _, r := range got.Results {
		if len(r.Rounds) != 1 || r.Rounds[0].Stored != stored[r.Name] || r.Rate <= 0 {
			t.Errorf("%s: %+v", r.Name, r)
		}
	}
	if info, err := os.Stat(profile); err != nil || info.Size() == 0 {
		t.Errorf("profile: %v", err)
	}
}

func TestMedian(t *testing.T) {
	for _, c := range []struct {
		values []float64
		want   float64
	}{{nil, 0}, {[]float64{3}, 3}, {[]float64{5, 1, 3}, 3}, {[]float64{4, 1, 3, 2}, 2.5}} {
		if got := benchdb.Median(c.values); got != c.want {
			t.Errorf("median of %v: %v, want %v", c.values, got, c.want)
		}
	}
}

func TestHalfDuplicatesRepeatsEachRecordOnceLater(t *testing.T) {
	w, err := newWorkload(benchdb.Orders(50_000), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stream := w.halfDuplicates()
	seen := map[string]int{}
	for _, r := range stream {
		seen[string(r.Value)]++
	}
	if len(stream) != 50_000 || len(seen) != 25_000 {
		t.Fatalf("%d records, %d different ones", len(stream), len(seen))
	}
	for value, n := range seen {
		if n != 2 {
			t.Fatalf("%d times: %s", n, value)
		}
	}
}
