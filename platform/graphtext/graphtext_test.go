package graphtext_test

import (
	"html"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/platform/graphtext"
)

func TestMermaid(t *testing.T) {
	for text, want := range map[string]string{
		"Order placed":           "Order placed",
		"SRM: In Transfer v1.0/": "SRM: In Transfer v1.0/",
		`"]; x --> y["`:          "#34;#93;#59; x --#62; y#91;#34;",
		"<b onclick=x()>":        "#60;b onclick#61;x#40;#41;#62;",
		"#34;":                   "#35;34#59;",
		"a\nb`c`":                "a#10;b#96;c#96;",
		"Zahlung erhöht → 注文":    "Zahlung erhöht → 注文",
	} {
		require.Equal(t, want, graphtext.Mermaid(text), text)
	}
}

// What a browser makes of the codes is the text again, and nothing else in it is markup.
func TestMermaidKeepsEachText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Filter(func(s string) bool {
			return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > 0x7e && r < 0xa0 }) // HTML reads controls otherwise
		}).Draw(t, "text")
		spelt := graphtext.Mermaid(text)
		if strings.ContainsAny(spelt, "\"<>[]{}()|&`\n") {
			t.Fatalf("markup: %q", spelt)
		}
		if back := html.UnescapeString(strings.ReplaceAll(spelt, "#", "&#")); back != text {
			t.Fatalf("%q reads as %q", text, back)
		}
	})
}

func TestDOT(t *testing.T) {
	require.Equal(t, `a \"quoted\" \\n text in two lines`, graphtext.DOT("a \"quoted\" \\n text in\ntwo lines"))
}

// A quoted string of DOT ends at the first quote that has no backslash before it; there is none in a text.
func TestDOTNeverEndsTheString(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.SampledFrom([]rune(`a"\`+"\n"))).Draw(t, "text")
		spelt := graphtext.DOT(text)
		for i := 0; i < len(spelt); i++ {
			switch spelt[i] {
			case '\\':
				i++
				if i == len(spelt) {
					t.Fatalf("%q escapes the closing quote", spelt)
				}
			case '"', '\n':
				t.Fatalf("%q ends at %d", spelt, i)
			}
		}
	})
}
