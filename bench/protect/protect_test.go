package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
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

// TestAllMeasurements runs the whole benchmark with few events and keys: it must not rot between the days on which
// somebody needs it. Its numbers mean nothing.
func TestAllMeasurements(t *testing.T) {
	longtest.Only(t, "it builds the program, and measures with it")
	opts, err := parse([]string{"--events", "2000", "--rounds", "1", "--partitions", "2", "--keys", "3000", "--subjects", "50", "--pages", "2",
		"--output", "json", "--kafka-libs", "", "--kafka-brokers", ""})
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), opts, &out); err != nil {
		t.Fatal(err)
	}
	var got report
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Ingest) != 3 || len(got.Opening) != 4 || got.Rotation == nil {
		t.Fatalf("%s", out.Bytes())
	}
	if got.Ingest[0].Subjects != 0 || got.Ingest[2].Subjects != 50 {
		t.Errorf("%d and %d subjects have keys, not 0 and 50", got.Ingest[0].Subjects, got.Ingest[2].Subjects)
	}
	for _, one := range got.Opening {
		if one.Stored.Millis.median() <= 0 || one.Cold.Millis.median() <= 0 {
			t.Errorf("%+v", one)
		}
	}
	out.Reset()
	if err := got.print(&out, "table"); err != nil || !strings.Contains(out.String(), "keys rotate --kek") {
		t.Errorf("%v\n%s", err, &out)
	}
}

func TestAddPersons(t *testing.T) {
	records := benchdb.Orders(1000)
	if err := addPersons(records, 5); err != nil {
		t.Fatal(err)
	}
	whose := map[string]string{} // by workflow
	persons := map[string]bool{}
	for i := range records {
		if i == 0 { // another person takes the first one's place
			if err := addPerson(&records[i], 0); err != nil {
				t.Fatal(err)
			}
		}
		var e struct {
			Payload  struct{ Person map[string]string }
			Metadata struct{ CorrelationID string }
		}
		if err := json.Unmarshal(records[i].Value, &e); err != nil {
			t.Fatalf("%v: %s", err, records[i].Value)
		}
		id := e.Payload.Person["id"]
		if had := whose[e.Metadata.CorrelationID]; had != "" && had != id || len(e.Payload.Person) != 1+len(fields()) {
			t.Fatalf("%s after %s in one workflow: %v", id, had, e.Payload.Person)
		}
		whose[e.Metadata.CorrelationID], persons[id] = id, true
	}
	if len(persons) != 5 {
		t.Errorf("%d persons, not 5", len(persons))
	}
}

func TestWrongOptions(t *testing.T) {
	for _, args := range [][]string{{"--only", "seal"}, {"--events", "1500"}, {"--keys", "1000"}, {"--pages", "0"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%q was taken", args)
		}
	}
}
