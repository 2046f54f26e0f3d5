package main

import (
	"bytes"
	"encoding/json"
	"testing"
)

// TestAllMeasurements runs the whole benchmark with few events: it must not rot between the days on
// which somebody needs it. Its numbers mean nothing.
func TestAllMeasurements(t *testing.T) {
	opts, err := parse([]string{"--events", "2000", "--rounds", "1", "--proofs", "10", "--output", "json"})
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
	if len(got.Hashed) != 1 || len(got.Unhashed) != 1 || len(got.Verify) < 2 {
		t.Fatalf("%d and %d appends, %d verifications", len(got.Hashed), len(got.Unhashed), len(got.Verify))
	}
	for name, value := range map[string]float64{"append": got.Hashed[0].Seconds, "leaf": got.LeafMicros, "tiles": got.TilesPerSecond,
		"proofs": got.ProofsSingly, "proofs in bulk": got.ProofsInBulk, "verify": got.Verify[0].Rate} {
		if value <= 0 {
			t.Errorf("%s was not measured", name)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, args := range [][]string{{"--events", "1"}, {"--rounds", "0"}, {"--proofs", "0"}, {"--output", "xml"}, {"more"}} {
		if _, err := parse(args); err == nil {
			t.Errorf("%v was taken", args)
		}
	}
}
