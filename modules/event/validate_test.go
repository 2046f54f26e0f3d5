package event_test

import (
	"bytes"
	"crypto/sha256"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// read runs a value through both stages.
func read(value []byte, headers ...event.Header) (event.Valid, *event.Rejected) {
	d, rejected := event.Decode(event.Raw{
		Coordinates: event.Coordinates{Topic: "orders", Partition: 3, Offset: 42},
		Key:         []byte("key"), Value: value, Headers: headers,
	})
	if rejected != nil {
		return event.Valid{}, rejected
	}
	return d.Validate(event.DefaultRules(), eventtest.Now())
}

// accept fails the test unless the value is an event.
func accept(t testing.TB, value []byte, headers ...event.Header) event.Valid {
	t.Helper()
	v, rejected := read(value, headers...)
	if rejected != nil {
		t.Fatalf("rejected: %s (%s): %s", rejected.Reason, rejected.Field, rejected.Detail)
	}
	return v
}

func TestBadRecordIsRejectedWithItsReason(t *testing.T) {
	kinds := map[string]bool{}
	for _, c := range eventtest.Bad() {
		if kinds[c.Name] {
			t.Errorf("two cases are named %q", c.Name)
		}
		kinds[c.Name] = true
		t.Run(c.Name, func(t *testing.T) {
			_, r := read(c.Value)
			if r == nil {
				t.Fatal("accepted")
			}
			if r.Reason != c.Reason || r.Field != c.Field {
				t.Errorf("got %s (%s): %s, want %s (%s)", r.Reason, r.Field, r.Detail, c.Reason, c.Field)
			}
			if r.Detail == "" || !utf8.ValidString(r.Detail) || len(r.Field) > 300 {
				t.Errorf("unfit to print: %q %q", r.Detail, r.Field)
			}
			kept := c.Value
			if c.Reason == event.TooLarge {
				kept = kept[:min(event.OversizeKept, len(kept))]
			}
			if !bytes.Equal(r.Raw.Value, kept) || r.Raw.Offset != 42 || string(r.Raw.Key) != "key" {
				t.Error("the record did not travel with its rejection")
			}
		})
	}
	if len(kinds) < 50 {
		t.Errorf("only %d kinds of bad records", len(kinds))
	}
}

func TestOddRecordIsAccepted(t *testing.T) {
	ids := map[event.ID]string{}
	for _, c := range eventtest.Good() {
		t.Run(c.Name, func(t *testing.T) {
			v := accept(t, c.Value)
			if other, taken := ids[v.Event().ID]; taken {
				t.Errorf("has the id of %q", other)
			}
			ids[v.Event().ID] = c.Name
			if d := v.Digest(); len(d) != event.DigestSize || d[0] != event.SchemePlain {
				t.Errorf("digest %x", d)
			}
		})
	}
}

// What is stored of records whose stored form is not what was sent.
func TestStoredForm(t *testing.T) {
	const old, plain = `"version":1`, `{"total":"12.50","lines":[{"sku":"A-1","qty":2}]}`
	const shop = `"causationId":"c-0","correlationId":"c-1","source":"shop","userId":"u-7"}`
	for _, c := range []struct{ name, old, new, payload, metadata string }{
		{"members are sorted", old, old, `{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"}`, `{` + shop},
		{"numbers have one spelling", plain, `[1.0,1E3, -0 ,10e-1,1e400]`, `[1,1000,0,1,1e+400]`, `{` + shop},
		{"text has one spelling", plain, `"\u0041\/\u000a\u001F\ud83d\ude00\u007f"`, `"A/\n\u001f😀` + "\x7f\"", `{` + shop},
		{"other members move to extensions", old, old + `,"b":1,"a":{"y":1,"x":2}`,
			`{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"}`,
			`{"causationId":"c-0","correlationId":"c-1","extensions":{"a":{"x":2,"y":1},"b":1},"source":"shop","userId":"u-7"}`},
		{"other members join extensions", `"source":"shop"}`, `"extensions":{"b":1}},"c":2,"a":0`,
			`{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"}`,
			`{"causationId":"c-0","correlationId":"c-1","extensions":{"a":0,"b":1,"c":2},"userId":"u-7"}`},
		{"a member named extensions is one of them", old, old + `,"extensions":[]`,
			`{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"}`,
			`{"causationId":"c-0","correlationId":"c-1","extensions":{"extensions":[]},"source":"shop","userId":"u-7"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := accept(t, eventtest.With(c.old, c.new)).Event()
			if string(e.Payload) != c.payload {
				t.Errorf("payload %s", e.Payload)
			}
			if string(e.Metadata) != c.metadata {
				t.Errorf("metadata %s", e.Metadata)
			}
		})
	}
}

func TestPrecedence(t *testing.T) {
	both := func(old, new, old2, new2 string) []byte {
		return []byte(strings.Replace(string(eventtest.With(old, new)), old2, new2, 1))
	}
	for _, c := range []struct {
		name   string
		value  []byte
		reason event.Reason
		field  string
	}{
		{"text before fields", both(`"OrderPlaced"`, `1`, `"shop"`, `"\u0000"`), event.InvalidText, "metadata.source"},
		{"duplicates before fields", both(`"OrderPlaced"`, `1`, `"source"`, `"userId"`), event.DuplicateMember, "metadata.userId"},
		{"text from left to right", both(`OrderPlaced`, `\u0000`, `"version":1`, `"version":1e5000`), event.InvalidText, "eventType"},
		{"depth before fields", both(`"OrderPlaced"`, `1`, `"12.50"`, strings.Repeat("[", 80)+strings.Repeat("]", 80)), event.TooDeep,
			"payload.total" + strings.Repeat("[0]", 62)},
		{"fields in their order, not the record's", both(`"version":1`, `"version":-1`, `"shop"`, `1`), event.InvalidField, "version"},
		{"fields before reserved names", both(`"12.50"`, `{"$sealed":1}`, `"shop"`, `1`), event.InvalidField, "metadata.source"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, r := read(c.value)
			if r == nil || r.Reason != c.reason || r.Field != c.field {
				t.Errorf("got %+v", r)
			}
		})
	}
}

func TestRealEvents(t *testing.T) {
	years, orders := map[int]int{}, eventtest.PurchaseOrders()
	for _, value := range orders {
		v := accept(t, value)
		years[v.Event().Timestamp.Year()]++
		if again := accept(t, recordOf(*v.Event())); !bytes.Equal(again.Digest(), v.Digest()) {
			t.Errorf("%s: another digest when read back", value)
		}
	}
	if len(orders) != 53 || years[1948] != 2 {
		t.Errorf("%d events, by year: %v", len(orders), years)
	}
}

// The limits are the operator's: the same record against others.
func TestRules(t *testing.T) {
	value := eventtest.Value()
	d, rejected := event.Decode(event.Raw{Value: value})
	if rejected != nil {
		t.Fatal(rejected.Detail)
	}
	ahead := time.Date(2024, 5, 1, 9, 30, 0, 123_456_000, time.UTC).Sub(eventtest.Now()) // of the reading, so negative
	for _, c := range []struct {
		name   string
		change func(*event.Rules)
		reason event.Reason
		field  string
	}{
		{"exactly the bytes", func(r *event.Rules) { r.MaxRecordBytes = len(value) }, "", ""},
		{"a byte less", func(r *event.Rules) { r.MaxRecordBytes = len(value) - 1 }, event.TooLarge, ""},
		{"exactly the depth", func(r *event.Rules) { r.MaxDepth = 4 }, "", ""},
		{"a level less", func(r *event.Rules) { r.MaxDepth = 3 }, event.TooDeep, "payload.lines[0]"},
		{"nothing but the event", func(r *event.Rules) { r.MaxDepth = 1 }, event.TooDeep, "payload"},
		{"exactly as far ahead as may be", func(r *event.Rules) { r.MaxFuture = ahead }, "", ""},
		{"a microsecond further ahead", func(r *event.Rules) { r.MaxFuture = ahead - time.Microsecond }, event.InvalidField, "timestamp"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rules := event.DefaultRules()
			c.change(&rules)
			_, rejected := d.Validate(rules, eventtest.Now())
			if c.reason == "" && rejected == nil {
				return
			}
			if rejected == nil || rejected.Reason != c.reason || rejected.Field != c.field {
				t.Errorf("got %+v", rejected)
			}
		})
	}
}

// No rule lets a record in that is beyond what the program itself can bear.
func TestRecordBeyondTheLimit(t *testing.T) {
	value := append(eventtest.Value(), make([]byte, event.RecordBytesLimit)...)
	if _, r := event.Decode(event.Raw{Value: value}); r == nil || r.Reason != event.TooLarge || r.Field != "" {
		t.Errorf("got %+v", r)
	}
}

// Names of members are the producer's, and some of them are data.
func TestFieldShowsNamesOnlyIfTheyLookLikeNames(t *testing.T) {
	for name, field := range map[string]string{
		`lines`: "payload.lines.x", `größe_2-a`: "payload.größe_2-a.x", `注文`: "payload.注文.x", `$ref`: "payload.$ref.x",
		`ada@example.org`: "payload.*.x", `4111111111111111`: "payload.*.x", `a b`: "payload.*.x", `a\u0022`: "payload.*.x",
		``: "payload.*.x", `a.b`: "payload.*.x", `[0]`: "payload.*.x", `\u202e`: "payload.*.x",
		strings.Repeat("n", 64): "payload." + strings.Repeat("n", 64) + ".x", strings.Repeat("n", 65): "payload.*.x",
	} {
		_, r := read(eventtest.With(`{"total":"12.50","lines":[{"sku":"A-1","qty":2}]}`, `{"`+name+`":{"x":"\u0000"}}`))
		if r == nil || r.Reason != event.InvalidText || r.Field != field {
			t.Errorf("%s: got %+v, want %s", name, r, field)
		}
	}
}

func TestATooLargeRecordKeepsTheBeginningOfItsValue(t *testing.T) {
	value := []byte(`{"a":"` + strings.Repeat("x", 9000) + `"}`)
	rules := event.DefaultRules()
	rules.MaxRecordBytes = 5000
	d, r := event.Decode(event.Raw{Value: value})
	if r != nil {
		t.Fatal(r)
	}
	_, r = d.Validate(rules, time.Now())
	if r == nil || r.Reason != event.TooLarge {
		t.Fatalf("rejected as %+v", r)
	}
	want := event.Oversize{Length: int64(len(value)), SHA256: sha256.Sum256(value), Detail: "the value has 9008 bytes; at most 5000 are allowed"}
	if r.Raw.Oversize == nil || *r.Raw.Oversize != want {
		t.Errorf("oversize is %+v, want %+v", r.Raw.Oversize, want)
	}
	if !bytes.Equal(r.Raw.Value, value[:event.OversizeKept]) {
		t.Errorf("kept %d bytes of the value, want its first %d", len(r.Raw.Value), event.OversizeKept)
	}
}
