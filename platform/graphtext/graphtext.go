// Package graphtext spells texts for languages in which graphs are drawn, so that no text is read as markup. As on a
// terminal, characters that would hide or turn others are spelled as escapes.
package graphtext

import (
	"fmt"
	"strings"
	"unicode"

	"audittrail/platform/console"
)

// Mermaid spells whatever Mermaid or HTML could read as markup as a character code.
func Mermaid(s string) string {
	var b strings.Builder
	for _, r := range console.Visible(s) {
		if r < 0x80 && !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune(" -_.:/", r) {
			fmt.Fprintf(&b, "#%d;", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// DOT spells a text for a quoted string of Graphviz's language.
func DOT(s string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(console.Visible(s))
}
