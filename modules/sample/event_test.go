package sample

import (
	"testing"
	"time"

	"audittrail/modules/event"
)

// What ingest makes of the sample traffic is what each record says of itself.
func TestEveryRecordIsWhatItSays(t *testing.T) {
	start := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	g := New(Options{Seed: 11, Start: start, Live: true, Interval: time.Second, BadShare: 0.05, RepeatShare: 0.02})
	digests := map[event.ID]string{}
	for range 5_000 {
		r := g.Next()
		decoded, rejected := event.Decode(event.Raw{Key: r.Key, Value: r.Value})
		var valid event.Valid
		if rejected == nil {
			valid, rejected = decoded.Validate(event.DefaultRules(), r.At)
		}
		got := event.Reason("")
		switch {
		case rejected != nil:
			got = rejected.Reason
		case digests[valid.Event().ID] == "":
			digests[valid.Event().ID] = string(valid.Digest())
		case digests[valid.Event().ID] != string(valid.Digest()):
			got = event.EventIDConflict
		case !r.Repeat:
			t.Fatalf("an event comes twice and is no repeat: %s", r.Value)
		}
		if got != r.Reason {
			t.Fatalf("says %q, is %q (%+v): %s", r.Reason, got, rejected, r.Value)
		}
		if got == "" && !r.Repeat && !valid.Event().Timestamp.Equal(r.At) {
			t.Fatalf("timestamp %v, published at %v", valid.Event().Timestamp, r.At)
		}
	}
}
