package graphtext_test

import (
	"html"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/platform/console"
	"audittrail/platform/graphtext"
)

func TestMermaid(t *testing.T) {
	for text, want := range map[string]string{
		"Order placed":           "Order placed",
		"SRM: In Transfer v1.0/": "SRM: In Transfer v1.0/",
		`"]; x --> y["`:          "#34;#93;#59; x --#62; y#91;#34;",
		"<b onclick=x()>":        "#60;b onclick#61;x#40;#41;#62;",
		"#34;":                   "#35;34#59;",
		"a\nb`c`":                "a#92;nb#96;c#96;",
		"paid\u202e002":          "paid#92;u202e002",
		"Zahlung erhöht → 注文":    "Zahlung erhöht → 注文",
	} {
		require.Equal(t, want, graphtext.Mermaid(text), text)
	}
}

// What a browser makes of the codes is the text again, and nothing else in it is markup.
func TestMermaidKeepsEachText(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Filter(func(s string) bool {
			return console.Visible(s) == s
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
	require.Equal(t, `a \"quoted\" \\n text in\\ntwo lines`, graphtext.DOT("a \"quoted\" \\n text in\ntwo lines"))
	require.Equal(t, `paid\\u202e002`, graphtext.DOT("paid\u202e002"))
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
