package event_test

import (
	"bytes"
	"crypto/sha256"
	"testing"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

func sha256Of(s string) [32]byte { return sha256.Sum256([]byte(s)) }

func storedOf(t testing.TB, value []byte) event.Stored {
	t.Helper()
	return event.Stored{
		Event:      *accept(t, value).Event(),
		Position:   17,
		RecordedAt: time.Date(2026, 6, 1, 14, 0, 0, 5_000, time.FixedZone("", 7200)),
		Kafka:      event.Coordinates{Topic: "orders", Partition: 3, Offset: 1 << 60},
		Salt:       [16]byte{0xff, 0xef, 0xbe, 15: 1},
	}
}

// The ledger's leaves are computed over this form: it MUST NOT change.
func TestStoredCanonical(t *testing.T) {
	s := storedOf(t, eventtest.With(`order-1001`, `a\"b\\c\u00e9`))
	const want = `{"aggregateId":"a\"b\\cé","aggregateType":"Order","eventId":"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e","eventType":"OrderPlaced",` +
		`"kafka":{"offset":1152921504606846976,"partition":3,"topic":"orders"},` +
		`"metadata":{"causationId":"c-0","correlationId":"c-1","source":"shop","userId":"u-7"},` +
		`"payload":{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"},"recordedAt":"2026-06-01T12:00:00.000005Z",` +
		`"salt":"_---AAAAAAAAAAAAAAAAAQ","timestamp":"2024-05-01T09:30:00.123456Z","version":1}`
	if got := string(s.Canonical()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestStoredAppendJSON(t *testing.T) {
	s := storedOf(t, eventtest.Value())
	const want = `x{"eventId":"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e","eventType":"OrderPlaced","aggregateId":"order-1001","aggregateType":"Order",` +
		`"timestamp":"2024-05-01T09:30:00.123456Z","version":1,"payload":{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"},` +
		`"metadata":{"causationId":"c-0","correlationId":"c-1","source":"shop","userId":"u-7"},` +
		`"position":17,"recordedAt":"2026-06-01T12:00:00.000005Z",` +
		`"kafka":{"topic":"orders","partition":3,"offset":1152921504606846976},"salt":"_---AAAAAAAAAAAAAAAAAQ"}`
	if got := string(s.AppendJSON([]byte("x"))); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Canonical is written member by member; the canonicaliser must agree, whatever the event.
func TestStoredFormsAgree(t *testing.T) {
	for _, c := range eventtest.Good() {
		s := storedOf(t, c.Value)
		if got := canonicalOf(t, s.Canonical()); !bytes.Equal(got, s.Canonical()) {
			t.Errorf("%s: %s", c.Name, got)
		}
		got := canonicalOf(t, s.AppendJSON(nil))
		if got = bytes.Replace(got, []byte(`"position":17,`), nil, 1); !bytes.Equal(got, s.Canonical()) {
			t.Errorf("%s: the API shows %s", c.Name, got)
		}
	}
}
