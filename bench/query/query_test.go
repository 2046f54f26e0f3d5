package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchapi"
	"audittrail/platform/longtest"
)

func TestMain(m *testing.M) {
	if status, is := benchapi.Served(); is { // this binary stands in for the benchmark's own
		os.Exit(status)
	}
	os.Exit(m.Run())
}

// TestAllMeasurements runs the whole benchmark with few events, real ones: it must not rot between the days on which
// somebody needs it. Its numbers mean nothing.
func TestAllMeasurements(t *testing.T) {
	longtest.Only(t, "it measures with two stores, by several APIs and by pgbench")
	if _, err := exec.LookPath("pgbench"); err != nil && os.Getenv("CI") == "" {
		t.Skip("there is no pgbench")
	}
	opts, err := parse([]string{"--file", "../../cmd/systemtest/testdata/purchase-orders-excerpt.jsonl.gz", "--events", "3000", "--exported", "2000",
		"--rounds", "1", "--time", "1s", "--concurrency", "2", "--requests", "5", "--commit-delay", "1ms", "--only", "event,type,causation,payload,state,feed,export", "--output", "json",
		"--large", "6000", "--access", "strict,off", "--processes", "1,2"})
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
	if len(got.Rows) != 2*2*2*6 || len(got.Exports) != 2*2 {
		t.Fatalf("%d rows, %d exports", len(got.Rows), len(got.Exports))
	}
	if commit, err := time.ParseDuration(got.Machine.Commit); err != nil || commit < time.Millisecond {
		t.Errorf("a commit took %s, %v", got.Machine.Commit, err)
	}
	for _, r := range got.Rows {
		m := r.Rounds[0]
		// pgbench's median is left out: where the clock is coarse, half of its transactions may take no time.
		for name, value := range map[string]float64{"the API's rate": m.API.Rate, "the API's median": m.API.P50, "pgbench's rate": m.Pgbench.Rate, "the CPU's ratio": cpuRatioOf(m)} {
			if value <= 0 {
				t.Errorf("%s of %d, %s: %s was not measured", r.Kind, r.Store, r.Access, name)
			}
		}
	}
	for _, e := range got.Exports {
		if e.Rounds[0].Export <= 0 || e.Rounds[0].Copy <= 0 {
			t.Errorf("export of %d, %s: %+v", e.Store, e.Access, e.Rounds[0])
		}
	}
	var table bytes.Buffer
	if err := got.print(&table, "table"); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"--events", "1"}, {"--large", "10"}, {"--rounds", "0"}, {"--time", "1500ms"}, {"--concurrency", "1,0"}, {"--requests", "129"},
		{"--exported", "100001"}, {"--only", "events"}, {"--access", "lax"}, {"--output", "xml"}, {"--processes", "0"}, {"--commit-delay", "1s"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}

func TestStatementsHaveTheirValues(t *testing.T) {
	at := time.Date(2026, 11, 1, 12, 0, 0, 5000, time.UTC)
	record := func(sql string, args ...any) (string, error) {
		var r recorder
		r.TraceQueryStart(t.Context(), nil, pgx.TraceQueryStartData{SQL: sql, Args: args})
		statements, err := r.take()
		if err != nil {
			return "", err
		}
		return statements[0].literals()
	}
	got, err := record("$2 $1 $11 $3 $4 $5 $6 $7 $8 $9 $10", pgx.QueryExecModeExec, "it's", 7, int64(8), at, [16]byte{1}, []byte{2}, []string{`a"b`, "c,d"}, []uint32{3, 4}, int32(9), "$1", "last")
	want := `7 'it''s' 'last' 8 '2026-11-01T12:00:00.000005Z' '01000000000000000000000000000000' '\x02' '{"a\"b","c,d"}' '{3,4}' 9 '$1'`
	if err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	for _, args := range [][]any{{}, {1.5}} {
		if got, err := record("$1", args...); err == nil {
			t.Errorf("%v: %s", args, got)
		}
	}
}
