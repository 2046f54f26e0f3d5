package event_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

// reasons are those that decoding and validation give.
var reasons = []event.Reason{
	event.EmptyValue, event.MalformedJSON, event.DuplicateMember, event.InvalidText, event.NumberOutOfRange,
	event.TooDeep, event.TooLarge, event.MissingField, event.InvalidField,
}

func FuzzDecode(f *testing.F) {
	for _, c := range slices.Concat(eventtest.Bad(), eventtest.Good()) {
		if len(c.Value) < 4096 {
			f.Add(c.Value)
		}
	}
	f.Add(orderEvent)
	f.Fuzz(func(t *testing.T, value []byte) {
		before := bytes.Clone(value)
		v, rejected := read(value)
		if !bytes.Equal(before, value) {
			t.Fatal("the record was changed")
		}
		if rejected != nil {
			if !slices.Contains(reasons, rejected.Reason) || rejected.Detail == "" ||
				!utf8.ValidString(rejected.Field) || len(rejected.Field) > 300 || strings.ContainsAny(rejected.Field, "\x00\n\"") {
				t.Fatalf("%+v", rejected)
			}
			return
		}
		// What is stored, published again as it is, is the same event.
		e := *v.Event()
		again := accept(t, recordOf(e))
		if !bytes.Equal(again.Digest(), v.Digest()) {
			t.Fatalf("%s: another digest", value)
		}
		if !bytes.Equal(again.Event().Payload, e.Payload) || !bytes.Equal(again.Event().Metadata, e.Metadata) {
			t.Fatalf("%s: stored otherwise the second time", value)
		}
		s := event.Stored{Event: e}
		if !bytes.Equal(canonicalOf(t, s.Canonical()), s.Canonical()) {
			t.Fatalf("%s: not canonical: %s", value, s.Canonical())
		}
	})
}

// recordOf is a record's value that says e.
func recordOf(e event.Event) []byte {
	s := event.Stored{Event: e}
	b := s.AppendJSON(nil)
	return append(b[:bytes.LastIndex(b, []byte(`,"position":`))], '}')
}

func FuzzCanonicalize(f *testing.F) {
	for _, c := range slices.Concat(eventtest.Bad(), eventtest.Good()) {
		if len(c.Value) < 4096 {
			f.Add(c.Value)
		}
	}
	f.Add([]byte(`{"\ud83d\ude00":1,"\ufb33":[1e400,-0.0],"a\u0001":"\/"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := event.Canonicalize(nil, in)
		if err != nil {
			var e *event.TextError
			if !asTextError(err, &e) || !slices.Contains(reasons, e.Reason) {
				t.Fatal(err)
			}
			refusedRightly(t, in, e.Reason)
			return
		}
		sameAsLibrary(t, in, out)
		if again := canonicalOf(t, out); !bytes.Equal(again, out) {
			t.Fatalf("%q: %q, then %q", in, out, again)
		}
	})
}

// refusedRightly fails where jsontext takes a text that we refuse, but for the rules that are ours only.
func refusedRightly(t *testing.T, in []byte, reason event.Reason) {
	valid := jsontext.Value(in).IsValid()
	switch reason {
	case event.NumberOutOfRange, event.TooDeep:
	case event.InvalidText:
		if valid && !bytes.Contains(in, []byte(`\u0000`)) {
			t.Fatalf("%q: refused as invalid text", in)
		}
	default:
		if valid {
			t.Fatalf("%q: refused as %s", in, reason)
		}
	}
}

func FuzzParseTime(f *testing.F) {
	for _, s := range []string{
		"2026-05-01T09:30:00Z", "2026-05-01t09:30:00.123456789z", "2024-02-29T23:59:59.9-23:59", "0000-01-01T00:00:00+00:01",
		"2026-05-01T09:30:60Z", "1900-02-29T00:00:00Z", "2026-05-01T09:30:00,5Z", "2026-05-01T9:30:00Z", "2026-05-01T09:30:00+24:00",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := event.ParseTime(s)
		library, libraryErr := time.Parse(time.RFC3339, strings.NewReplacer("t", "T", "z", "Z").Replace(s))
		if err != nil {
			// The library takes more than the grammar: a comma for the point, hours of one digit, other
			// offsets, and years that leave 0 to 9999 by their offset.
			utc := strings.HasSuffix(strings.ToLower(s), "z")
			if libraryErr == nil && utc && !strings.Contains(s, ",") && s[13] == ':' {
				t.Fatalf("%q is refused: %v", s, err)
			}
			return
		}
		if libraryErr == nil && !library.Truncate(time.Microsecond).Equal(got) {
			t.Fatalf("%q: %v, the library has %v", s, got, library)
		}
		if libraryErr != nil {
			t.Fatalf("%q is taken: the library says %v", s, libraryErr)
		}
		if again, err := event.ParseTime(event.FormatTime(got)); err != nil || !again.Equal(got) {
			t.Fatalf("%q: %v, then %v (%v)", s, got, again, err)
		}
	})
}
