package event_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf16"

	"pgregory.net/rapid"

	"audittrail/modules/event"
)

func asTextError(err error, target **event.TextError) bool { return errors.As(err, target) }

func TestCanonicalForm(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"RFC 8785, 3.2.2, but for rounding",
			`{"numbers":[333333333.33333329,1E30,4.50,2e-3,0.000000000000000000000000001],` +
				`"string":"\u20ac$\u000F\u000aA'\u0042\u0022\u005c\\\"\/","literals":[null,true,false]}`,
			`{"literals":[null,true,false],"numbers":[333333333.33333329,1e+30,4.5,0.002,1e-27],"string":"€$\u000f\nA'B\"\\\\\"/"}`},
		{"RFC 8785, 3.2.3: names by UTF-16 code units",
			`{"\u20ac":"Euro Sign","\r":"Carriage Return","\ufb33":"Hebrew Letter Dalet With Dagesh","1":"One",` +
				`"\ud83d\ude00":"Emoji: Grinning Face","\u0080":"Control","\u00f6":"Latin Small Letter O With Diaeresis"}`,
			`{"\r":"Carriage Return","1":"One","` + "\u0080" + `":"Control","ö":"Latin Small Letter O With Diaeresis",` +
				`"€":"Euro Sign","😀":"Emoji: Grinning Face","` + "\ufb33" + `":"Hebrew Letter Dalet With Dagesh"}`},
		{"controls", `"\u0000"`[:1] + `\u0001\b\t\n\u000b\f\r\u000E\u001f\u007F\u0080"`, `"\u0001\b\t\n\u000b\f\r\u000e\u001f` + "\x7f\u0080" + `"`},
		{"no escapes without need", `"\/\u003c\u003E\u0026\u2028\u2029"`, `"/<>&` + "\u2028\u2029" + `"`},
		{"names sort unescaped", `{"\\":1,"\"":2,"!":3,"#":4,"]":5,"[":6,"\u001f":7}`, `{"\u001f":7,"!":3,"\"":2,"#":4,"[":6,"\\":1,"]":5}`},
		{"a name before those it begins", `{"ab":1,"a":2,"":3,"a\u0001":4}`, `{"":3,"a":2,"a\u0001":4,"ab":1}`},
		{"nested objects", `{"b":{"z":1,"y":{"d":1,"c":2}},"a":[{"q":1,"p":2}]}`, `{"a":[{"p":2,"q":1}],"b":{"y":{"c":2,"d":1},"z":1}}`},
		{"whitespace", " [ 1 ,\t{ } , [ ] ,\n{ \"a\" : \"b c\" } ]\r\n", `[1,{},[],{"a":"b c"}]`},
		{"reserved names are the store's", `{"a":{"$sealed":0}}`, `{"a":{"$sealed":0}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := string(canonicalOf(t, []byte(c.in))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// Strings are read eight bytes at a time: whatever a byte is, and wherever it stands, must be seen.
func TestEveryByteIsSeenInAString(t *testing.T) {
	for c := range 0x80 {
		for at := range 20 {
			in := []byte(`"` + strings.Repeat("x", 20) + `"`)
			in[1+at] = byte(c)
			out, err := event.Canonicalize(nil, in)
			if bad := c < 0x20 || c == '"' || c == '\\'; bad != (err != nil) || !bad && !bytes.Equal(in, out) {
				t.Errorf("byte %#x at %d: %q, %v", c, at, out, err)
			}
		}
	}
}

func TestTextErrorSaysWhereAndWhat(t *testing.T) {
	for in, want := range map[string]string{
		`{"a":[1,"\u0000"]}`: "invalid_text (a[1]): holds the character NUL, which PostgreSQL's jsonb can't",
		`{"a":1`:             "malformed_json: at byte 6: a comma or the object's end is expected",
	} {
		if _, err := event.Canonicalize(nil, []byte(in)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", in, err)
		}
	}
}

func TestCanonicalizeAppends(t *testing.T) {
	for _, space := range []int{0, 3, 100} {
		dst := append(make([]byte, 0, 2+space), "x="...)
		got, err := event.Canonicalize(dst, []byte(`{"b":1,"a":2}`))
		if err != nil || string(got) != `x={"a":2,"b":1}` {
			t.Errorf("with space for %d: %s, %v", space, got, err)
		}
		got, err = event.Canonicalize(dst, []byte(`{"b":1,"a":`))
		if err == nil || string(got) != "x=" {
			t.Errorf("a failure left %q", got)
		}
	}
}

func TestCanonicalizeRefusesTooDeep(t *testing.T) {
	deep := func(n int) []byte { return []byte(strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n)) }
	canonicalOf(t, deep(event.DepthLimit+2))
	for _, n := range []int{event.DepthLimit + 3, 1_000_000} {
		var e *event.TextError
		if _, err := event.Canonicalize(nil, deep(n)); !asTextError(err, &e) || e.Reason != event.TooDeep {
			t.Errorf("%d levels: %v", n, err)
		}
	}
}

// jsonTexts draws JSON texts of every shape, spelled loosely.
func jsonTexts() *rapid.Generator[string] { return texts(3) }

func texts(depth int) *rapid.Generator[string] {
	kinds := []*rapid.Generator[string]{
		rapid.SampledFrom([]string{"null", "true", "false", "0", "-0", "1.0", `""`}),
		rapid.StringMatching(`-?(0|[1-9][0-9]{0,25})(\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?`),
		quoted(),
	}
	if depth > 0 {
		kinds = append(kinds, array(depth-1), object(depth-1))
	}
	return rapid.OneOf(kinds...)
}

func array(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		elements := rapid.SliceOfN(texts(depth), 0, 5).Draw(t, "elements")
		return "[" + strings.Join(elements, space(t)+","+space(t)) + space(t) + "]"
	})
}

func object(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		names := rapid.SliceOfNDistinct(words(), 0, 6, rapid.ID).Draw(t, "names")
		members := make([]string, len(names))
		for i, name := range names {
			members[i] = spell(t, name) + space(t) + ":" + space(t) + texts(depth).Draw(t, "value")
		}
		return "{" + space(t) + strings.Join(members, ",") + "}"
	})
}

func space(t *rapid.T) string {
	return rapid.SampledFrom([]string{"", "", " ", "\n\t"}).Draw(t, "space")
}

// words are texts without NUL, with characters that sort or are spelled in odd ways.
func words() *rapid.Generator[string] {
	odd := []rune("ab$\"\\/\b\f\n\r\t\x01\x1f\x7f\u0080é\ud7ff\ue000\ufb33\ufffd\uffff😀\U0010ffff")
	return rapid.OneOf(
		rapid.StringOfN(rapid.SampledFrom(odd), 0, 6, -1),
		rapid.StringMatching(`[a-zA-Z0-9_]{1,12}`),
		rapid.Map(rapid.String(), func(s string) string { return strings.ReplaceAll(s, "\x00", "") }),
	)
}

func quoted() *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string { return spell(t, words().Draw(t, "word")) })
}

// spell writes s as a JSON string, each character by an escape or as it is, where it may be.
func spell(t *rapid.T, s string) string {
	const hex = "0123456789abcdefABCDEF"
	b := []byte{'"'}
	escape := rapid.SampledFrom([]int{0, 1, 2}).Draw(t, "escape") // what must be, every other, all
	for i, r := range []rune(s) {
		must := r < 0x20 || r == '"' || r == '\\'
		if !must && (escape == 0 || escape == 1 && i%2 == 0) {
			b = append(b, string(r)...)
			continue
		}
		units := utf16.AppendRune(nil, r)
		for _, u := range units {
			b = append(b, '\\', 'u', hex[u>>12], hex[u>>8&15], hex[u>>4&15], hex[u&15])
		}
	}
	return string(append(b, '"'))
}

func TestCanonicalFormOfACanonicalTextIsItself(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := jsonTexts().Draw(t, "text")
		once, err := event.Canonicalize(nil, []byte(in))
		if err != nil {
			t.Fatalf("%s: %v", in, err)
		}
		twice, err := event.Canonicalize(nil, once)
		if err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s\nthen %s (%v)", once, twice, err)
		}
		sameAsLibrary(t, []byte(in), once)
	})
}
