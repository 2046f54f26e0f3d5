package console

import (
	"io"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// PrintJSON writes v for programs to read: indented, members in a stable order, a newline at the end. Texts
// may be a file's name or anybody's words: bytes that are no UTF-8 become U+FFFD, rather than that
// nothing is answered, and what a terminal would obey is spelled as an escape.
func PrintJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	_, err = w.Write(append(AppendVisibleJSON(nil, b), '\n'))
	return err
}

// AppendVisibleJSON spells harmful characters of a JSON text as \u escapes, which changes nothing of what it
// means: in JSON they occur inside strings only. Spaces between tokens stay.
func AppendVisibleJSON(dst, text []byte) []byte {
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		if !harmful(r) || r == '\n' || r == '\r' || r == '\t' {
			dst = append(dst, text[:size]...)
		} else {
			dst = appendEscape(dst, r)
		}
		text = text[size:]
	}
	return dst
}

// appendEscape spells a character as JSON does, beyond U+FFFF as a pair of surrogates.
func appendEscape(dst []byte, r rune) []byte {
	if r > 0xffff {
		r -= 0x10000
		return appendEscape(appendEscape(dst, 0xd800+r>>10), 0xdc00+r&0x3ff)
	}
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[r>>12&15], digits[r>>8&15], digits[r>>4&15], digits[r&15])
}

// JSONWriter writes JSON to a terminal, in parts that may be cut anywhere: what the terminal would obey is
// spelled as escapes.
type JSONWriter struct {
	Out io.Writer

	begun []byte // of a character whose end has not come yet
}

// Write implements io.Writer.
func (w *JSONWriter) Write(p []byte) (int, error) {
	text := append(w.begun, p...)
	whole := wholeRunes(text)
	w.begun = append([]byte(nil), text[whole:]...)
	if _, err := w.Out.Write(AppendVisibleJSON(nil, text[:whole])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// wholeRunes is how many bytes of a text are before a character that is not all there.
func wholeRunes(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		if at := len(text) - n; utf8.RuneStart(text[at]) {
			if utf8.FullRune(text[at:]) {
				break
			}
			return at
		}
	}
	return len(text)
}
