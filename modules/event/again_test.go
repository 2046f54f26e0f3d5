package event_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// again decodes the record that an event is written as, under the limits that its first record has kept.
func again(t fataler, e *event.Event, first []byte) *event.Event {
	t.Helper()
	record := e.AppendRecord(nil)
	rules := event.DefaultRules()
	rules.MaxRecordBytes = len(first)
	rules.MaxDepth = depthOf(first)
	if !json.Valid(record) {
		t.Fatalf("no JSON: %.2000s", record)
	}
	decoded, rejected := event.Decode(event.Raw{Value: record})
	var valid event.Valid
	if rejected == nil {
		valid, rejected = decoded.Validate(rules, eventtest.Now())
	}
	if rejected != nil {
		t.Fatalf("%.2000s\nis written as\n%.2000s\n%s %s %s", first, record, rejected.Reason, rejected.Field, rejected.Detail)
	}
	return valid.Event()
}

// depthOf is how deeply a JSON text is nested.
func depthOf(text []byte) (deepest int) {
	depth, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			deepest = max(deepest, depth)
		case c == '}' || c == ']':
			depth--
		}
	}
	return deepest
}

func requireSame(t fataler, a, b *event.Event) {
	t.Helper()
	if string(canonicalEvent(a)) != string(canonicalEvent(b)) || a.Digest() != b.Digest() {
		t.Fatalf("\n%.2000s\nbecame\n%.2000s", canonicalEvent(a), canonicalEvent(b))
	}
}

func canonicalEvent(e *event.Event) []byte { return (&event.Stored{Event: *e}).Canonical() }

// Every event that could be stored can be stored again from what a replay writes, within the bytes and the depth of
// its first record.
func TestAReplayedEventIsTheSameEvent(t *testing.T) {
	for _, c := range eventtest.Good() {
		e := accept(t, c.Value).Event()
		requireSame(t, e, again(t, e, c.Value))
	}
	for _, value := range eventtest.PurchaseOrders() {
		e := accept(t, value).Event()
		requireSame(t, e, again(t, e, value))
	}
	rapid.Check(t, func(r *rapid.T) {
		value := []byte(anyEvent().Draw(r, "event"))
		valid, rejected := read(value)
		if rejected != nil {
			r.Fatalf("%s", rejected.Detail)
		}
		requireSame(r, valid.Event(), again(r, valid.Event(), value))
	})
}

// What made records longer or deeper than they were.
func TestHostileEventsAreReplayed(t *testing.T) {
	deep := strings.Repeat("[", 63) + strings.Repeat("]", 63)
	numbers := `[1e20,1e999,-1E-20,1e-6,123456789e13,0.1e-5,12e3,1e3,1000,0.001,-0,0e99,` +
		strings.Repeat("1e20,", 1000) + strings.Repeat("7", 100) + `e-105,` + strings.Repeat("7", 100) + `e-99]`
	for name, members := range map[string]string{
		"a deep extension":             `,"extra":` + deep,
		"an extension of the producer": `,"metadata":{"extensions":{"a":` + deep[2:len(deep)-2] + `}}`,
		"both":                         `,"metadata":{"extensions":{"a":1}},"b":2`,
		"reserved for the record":      `,"metadata":{"extensions":{"payload":1,"eventId":[],"z":{"metadata":1}}},"b":2`,
		"no object":                    `,"metadata":{"extensions":[1]}`,
		"an empty object":              `,"metadata":{"extensions":{}}`,
		"null":                         `,"metadata":{"extensions":null}`,
		"empty names":                  `,"":1,"metadata":{"":2,"extensions":{" ":{}}}`,
		"escaped names":                `,"\u0022\n":1,"é\\":{"\t":1},"metadata":{"extensions":{"\u00e9":1}}`,
		"numbers":                      `,"numbers":` + numbers + `,"metadata":{"n":` + numbers + `}`,
		"a large version":              `,"version":2e9`,
	} {
		base := `{"eventId":"018F4E2A-7C31-7B5A-9D7E-1F2A3B4C5D6E","eventType":"E","aggregateId":"a","aggregateType":"A","timestamp":"2024-05-01T09:30:00Z","payload":1e20`
		if name != "a large version" {
			base += `,"version":1`
		}
		value := []byte(base + members + "}")
		decoded, rejected := event.Decode(event.Raw{Value: value})
		var valid event.Valid
		if rejected == nil {
			valid, rejected = decoded.Validate(event.DefaultRules(), eventtest.Now())
		}
		if rejected != nil {
			t.Fatalf("%s: %s %s %s", name, rejected.Reason, rejected.Field, rejected.Detail)
		}
		requireSame(t, valid.Event(), again(t, valid.Event(), value))
	}
}

// metadata.audittrail is the store's, and no record may have it.
func TestAReplayedEventLeavesOutWhatIsTheStores(t *testing.T) {
	e := *accept(t, eventtest.Value()).Event()
	before := e
	e.Metadata = []byte(`{"audittrail":{"redrivenBy":"ann"},"traceId":"0af7651916cd43dd8448eb211c80319c",` + string(e.Metadata[1:]))
	record := e.AppendRecord(nil, "traceId")
	if bytes.Contains(record, []byte("audittrail")) || bytes.Contains(record, []byte("traceId")) {
		t.Fatalf("%s", record)
	}
	requireSame(t, &before, accept(t, record).Event())
}
