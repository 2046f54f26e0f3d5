package cmd

import (
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// addOutput defines --output. The first format is the default; parse the flag's value with it.
func addOutput(c *cobra.Command, formats ...string) *outputFormat {
	o := &outputFormat{value: formats[0], formats: formats}
	c.Flags().Var(o, "output", "form of the answer: "+strings.Join(formats, ", "))
	_ = c.RegisterFlagCompletionFunc("output", cobra.FixedCompletions(formats, cobra.ShellCompDirectiveNoFileComp))
	return o
}

// outputFormat is the value of --output: one of the formats that a command offers.
type outputFormat struct {
	value   string
	formats []string
}

func (o *outputFormat) String() string { return o.value }

func (o *outputFormat) Type() string { return "format" }

func (o *outputFormat) Set(s string) error {
	for _, f := range o.formats {
		if s == f {
			o.value = s
			return nil
		}
	}
	return wrongUsage("must be one of %s", strings.Join(o.formats, ", "))
}

// printJSON writes v for programs to read: indented, members in a stable order, a newline at the end. Texts
// may be a file's name or anybody's words: bytes that are no UTF-8 become U+FFFD, rather than that
// nothing is answered, and what a terminal would obey is spelled as an escape.
func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, json.Deterministic(true), jsontext.AllowInvalidUTF8(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	_, err = w.Write(append(visibleJSON(nil, b), '\n'))
	return err
}
