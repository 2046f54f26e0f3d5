package cmd

import (
	"strings"

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
