package console

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// hostile is what an event may hold to take a terminal over: a colour, a title, a cursor move, C1's
// one-character CSI, a bidirectional override, a line break, a carriage return, bytes that are no text.
const hostile = "\x1b[31mred\x1b]0;title\a\u009b2J\u202egnp.exe\r\nnext\x7f\u200b\xff\x00 Köln 東京"

func TestVisibleLetsNothingHarmfulPass(t *testing.T) {
	got := Visible(hostile)
	require.Equal(t, `\x1b[31mred\x1b]0;title\a\u009b2J\u202egnp.exe\r\nnext\x7f\u200b\xff\x00 Köln 東京`, got)
	require.Equal(t, "Łódź ☕", Visible("Łódź ☕"))
}

func TestVisibleIsSafeForAnyText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		for _, r := range Visible(string(rapid.SliceOf(rapid.Byte()).Draw(t, "bytes"))) {
			if !unicode.IsPrint(r) && r != ' ' && harmful(r) {
				t.Fatalf("%U passed", r)
			}
		}
		for _, r := range Visible(rapid.String().Draw(t, "text")) {
			if harmful(r) {
				t.Fatalf("%U passed", r)
			}
		}
	})
}

// Escaped JSON means what it meant before.
func TestVisibleJSONKeepsTheMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := rapid.String().Draw(t, "text")
		var text bytes.Buffer
		enc := json.NewEncoder(&text)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(want); err != nil {
			t.Fatal(err)
		}
		safe := AppendVisibleJSON(nil, bytes.TrimSpace(text.Bytes()))
		for _, r := range string(safe) {
			if harmful(r) {
				t.Fatalf("%U passed", r)
			}
		}
		var got string
		if err := json.Unmarshal(safe, &got); err != nil || got != want {
			t.Fatalf("%q became %q (%v)", want, got, err)
		}
	})
}

func TestClipCountsCells(t *testing.T) {
	require.Equal(t, "abcd", clip("abcd", 4))
	require.Equal(t, "abc…", clip("abcde", 4))
	require.Equal(t, "東…", clip("東京都", 4))
	require.Equal(t, 4, columns("東京"))
	require.Equal(t, 1, columns("e\u0301"))
}

func TestTableAlignsAndEscapes(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(&out, "A", "NAME")
	require.NoError(t, table.Add("東京", "x\x1b[2J"))
	require.NoError(t, table.Add("b", "y"))
	require.NoError(t, table.Flush())
	require.Equal(t, "A     NAME\n東京  x\\x1b[2J\nb     y\n", out.String())
}

// What a terminal can't show of a huge cell is not kept until the rows are printed.
func TestTableCutsWideCells(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(&out, "A", "B")
	table.width = 6
	require.NoError(t, table.Add("x", strings.Repeat("東", 1000)))
	require.Equal(t, "東東…", table.rows[0][1])
	require.NoError(t, table.Flush())
	require.Equal(t, "A  B\nx  東…\n", out.String())
}

func TestTableOfManyRowsHasOneHeader(t *testing.T) {
	var out bytes.Buffer
	table := NewTable(&out, "N")
	for range 3*tableRows + 1 {
		require.NoError(t, table.Add("x"))
	}
	require.NoError(t, table.Flush())
	require.Equal(t, 1, strings.Count(out.String(), "N\n"))
	require.Equal(t, 3*tableRows+2, strings.Count(out.String(), "\n"))
}

func TestGrouped(t *testing.T) {
	for n, want := range map[int64]string{0: "0", 999: "999", 1000: "1,000", 166193: "166,193", 1234567: "1,234,567", -1234: "-1,234"} {
		require.Equal(t, want, Grouped(n))
	}
}

// An export that goes to a terminal is shown as the other commands show events, wherever its parts are cut.
func TestJSONWriter(t *testing.T) {
	const text = "[\"\u009b2J 東京\U000e0041 \x1b]0;t\a\"]\n"
	for size := 1; size <= len(text); size++ {
		var out strings.Builder
		w := &JSONWriter{Out: &out}
		for from := 0; from < len(text); from += size {
			part := text[from:min(from+size, len(text))]
			n, err := io.WriteString(w, part)
			require.NoError(t, err)
			require.Equal(t, len(part), n)
		}
		require.Equal(t, "[\"\\u009b2J 東京\\udb40\\udc41 \\u001b]0;t\\u0007\"]\n", out.String())
	}
}
