package cmd

import (
	"io"
	"unicode/utf8"
)

// visibleWriter writes JSON to a terminal: what that would obey is spelled as escapes. Elsewhere an export is
// written byte by byte.
type visibleWriter struct {
	out   io.Writer
	begun []byte // of a character whose end has not come yet
}

func (w *visibleWriter) Write(p []byte) (int, error) {
	text := append(w.begun, p...)
	whole := wholeRunes(text)
	w.begun = append([]byte(nil), text[whole:]...)
	if _, err := w.out.Write(visibleJSON(nil, text[:whole])); err != nil {
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
