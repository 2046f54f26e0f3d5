package ledger_test

import (
	"encoding/binary"
	"testing"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// storedEvents are n events as the store has them, at positions from 0 on: real ones, and odd ones,
// over and over. Each has an id and a salt of its own, always the same.
func storedEvents(t testing.TB, n int) []event.Stored {
	t.Helper()
	var templates []event.Event
	values := eventtest.PurchaseOrders()
	for _, c := range eventtest.Good() {
		if len(c.Value) < 4096 {
			values = append(values, c.Value)
		}
	}
	for _, value := range values {
		decoded, rejected := event.Decode(event.Raw{Value: value})
		if rejected != nil {
			t.Fatal(rejected.Detail)
		}
		valid, rejected := decoded.Validate(event.DefaultRules(), eventtest.Now())
		if rejected != nil {
			t.Fatal(rejected.Detail)
		}
		templates = append(templates, *valid.Event())
	}
	out := make([]event.Stored, n)
	for i := range out {
		s := event.Stored{
			Event:      templates[i%len(templates)],
			Position:   int64(i),
			RecordedAt: eventtest.Now().Add(time.Duration(i/100) * time.Millisecond),
			Kafka:      event.Coordinates{Topic: "orders", Partition: int32(i % 7), Offset: int64(i / 7)},
		}
		binary.BigEndian.PutUint64(s.ID[8:], uint64(i)|1<<63)
		binary.BigEndian.PutUint64(s.Salt[4:], uint64(i)*0x9e3779b97f4a7c15+1)
		out[i] = s
	}
	return out
}

// canonical is a JSON text in canonical form.
func canonical(t testing.TB, text string) string {
	t.Helper()
	out, err := event.Canonicalize(nil, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}
