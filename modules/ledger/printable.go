package ledger

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// Printable returns a text from the evidence as it can be shown on a terminal: what it could mislead with is
// escaped, and it is cut at 200 characters.
func Printable(s string) string {
	const most = 200
	runes := 0
	for at := range s {
		if runes == most {
			s = s[:at] + "…"
			break
		}
		runes++
	}
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsGraphic(r) || r == unicode.ReplacementChar }) {
		return strconv.QuoteToASCII(s)
	}
	return s
}

// listed puts a few names behind each other.
func listed(names []string) string {
	const most = 5
	switch {
	case len(names) == 0:
		return "nobody"
	case len(names) > most:
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
