package event_test

import (
	"bytes"
	"strings"
	"testing"

	"audittrail/modules/event"
	"audittrail/modules/event/eventtest"
)

func TestParseStoredReadsWhatAppendJSONWrites(t *testing.T) {
	for _, c := range eventtest.Good() {
		want := storedOf(t, c.Value)
		got, err := event.ParseStored(want.AppendJSON(nil))
		if err != nil {
			t.Errorf("%s: %v", c.Name, err)
			continue
		}
		if got.Position != want.Position || !bytes.Equal(got.Canonical(), want.Canonical()) {
			t.Errorf("%s: read back as %s", c.Name, got.Canonical())
		}
	}
}

func TestParseStoredTakesOtherSpellings(t *testing.T) {
	want := storedOf(t, eventtest.Value())
	text := string(want.AppendJSON(nil))
	for _, c := range [][2]string{
		{`"position":17`, `"position" : 1.7e1`},
		{`{"eventId"`, "{ \n\"\\u0065ventId\""},
		{`"OrderPlaced"`, `"Order\u0050laced"`},
		{`"qty":2`, `"qty":2.00`},
	} {
		got, err := event.ParseStored([]byte(replaceOnce(t, text, c[0], c[1])))
		if err != nil || !bytes.Equal(got.Canonical(), want.Canonical()) {
			t.Errorf("%s: %v", c[1], err)
		}
	}
}

// Whatever is not said in the one way in which it is stored is refused: nothing may prove another text
// than the one that a reader sees.
func TestParseStoredRefuses(t *testing.T) {
	s := storedOf(t, eventtest.Value())
	text := string(s.AppendJSON(nil))
	for _, c := range []struct{ name, old, new, field string }{
		{"another member", `"version":1`, `"version":1,"note":"approved"`, "note"},
		{"a member in other letters", `"version":1`, `"Version":1`, "Version"},
		{"a member twice", `"version":1`, `"version":1,"version":2`, "version"},
		{"a member twice, once by an escape", `"version":1`, `"version":1,"\u0076ersion":2`, "version"},
		{"a member missing", `"version":1,`, ``, ""},
		{"an id in capitals", `018f4e2a`, `018F4E2A`, "eventId"},
		{"an id that is none", `018f4e2a`, `018f4e2`, "eventId"},
		{"an id that is no text", `"018f4e2a-7c31-7b5a-9d7e-1f2a3b4c5d6e"`, `7`, "eventId"},
		{"a type that is no text", `"OrderPlaced"`, `["OrderPlaced"]`, "eventType"},
		{"a time with an offset", `2024-05-01T09:30:00.123456Z`, `2024-05-01T09:30:00.123456+00:00`, "timestamp"},
		{"a time in small letters", `2024-05-01T09:30:00.123456Z`, `2024-05-01t09:30:00.123456z`, "timestamp"},
		{"a time with fewer digits", `.000005Z`, `.00001Z`, "recordedAt"},
		{"a time with more digits", `.000005Z`, `.0000050Z`, "recordedAt"},
		{"a day that does not exist", `2024-05-01T`, `2024-02-30T`, "timestamp"},
		{"a version that is text", `"version":1`, `"version":"1"`, "version"},
		{"a version beyond its range", `"version":1`, `"version":2147483648`, "version"},
		{"a negative version", `"version":1`, `"version":-1`, "version"},
		{"a broken version", `"version":1`, `"version":1.5`, "version"},
		{"a payload that is null", `{"lines":[{"qty":2,"sku":"A-1"}],"total":"12.50"}`, `null`, "payload"},
		{"metadata that is text", `{"causationId":"c-0","correlationId":"c-1","source":"shop","userId":"u-7"}`, `""`, "metadata"},
		{"a position beyond 64 bits", `"position":17`, `"position":9223372036854775808`, "position"},
		{"a negative offset", `"offset":1152921504606846976`, `"offset":-1`, "kafka.offset"},
		{"an offset rounded", `"offset":1152921504606846976`, `"offset":1152921504606846976.5`, "kafka.offset"},
		{"a partition missing", `"partition":3,`, ``, "kafka"},
		{"coordinates with more", `"partition":3,`, `"partition":3,"epoch":1,`, "kafka.epoch"},
		{"coordinates that are none", `{"topic":"orders","partition":3,"offset":1152921504606846976}`, `[]`, "kafka"},
		{"salt with padding", `AAAAAAAQ"`, `AAAAAAAQ=="`, "salt"},
		{"salt with bits to spare", `AAAAAAAQ"`, `AAAAAAAR"`, "salt"},
		{"salt in the other alphabet", `"_---`, `"/+++`, "salt"},
		{"salt with a line break", `"_---`, `"_-\n--`, "salt"},
		{"salt too short", `"_---AAAA`, `"_---`, "salt"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := event.ParseStored([]byte(replaceOnce(t, text, c.old, c.new)))
			var e *event.TextError
			if !asTextError(err, &e) || e.Field != c.field || e.Detail == "" {
				t.Errorf("got %v", err)
			}
		})
	}
	for _, bad := range []string{"", "null", "[]", "{}", `"x"`, text + "{}", text[1:], "\ufeff" + text} {
		if _, err := event.ParseStored([]byte(bad)); err == nil {
			t.Errorf("took %.40s", bad)
		}
	}
}

func TestMembersWalksAnObject(t *testing.T) {
	var got []string
	for name, value := range event.Members([]byte(`{"\"":{"a":[1,"}"]},"b":2,"c":3}`)) {
		got = append(got, string(name)+" "+string(value))
		if string(name) == "b" {
			break
		}
	}
	if want := `\" {"a":[1,"}"]}` + "|b 2"; strings.Join(got, "|") != want {
		t.Errorf("got %q", got)
	}
	for range event.Members([]byte("{}")) {
		t.Error("an empty object has a member")
	}
}

func TestAppendCanonicalAppends(t *testing.T) {
	s := storedOf(t, eventtest.Value())
	dst := append(make([]byte, 0, 4096), 0)
	if got := s.AppendCanonical(dst); got[0] != 0 || !bytes.Equal(got[1:], s.Canonical()) {
		t.Errorf("got %q", got)
	}
	if n := testing.AllocsPerRun(100, func() { s.AppendCanonical(dst) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzParseStored(f *testing.F) {
	s := storedOf(f, eventtest.Value())
	f.Add(s.AppendJSON(nil))
	f.Add(s.Canonical())
	f.Fuzz(func(t *testing.T, in []byte) {
		s, err := event.ParseStored(in)
		if err != nil {
			return
		}
		// What is taken is what the text says, member by member.
		if got := canonicalOf(t, s.AppendJSON(nil)); !bytes.Equal(got, canonicalOf(t, in)) {
			t.Fatalf("%s\nread as %s", in, got)
		}
	})
}

func replaceOnce(t *testing.T, text, old, new string) string {
	t.Helper()
	if strings.Count(text, old) != 1 {
		t.Fatalf("%q is not in the text once", old)
	}
	return strings.Replace(text, old, new, 1)
}
