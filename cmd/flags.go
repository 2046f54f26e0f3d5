package cmd

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audittrail/cmd/app"
	"audittrail/platform/config"
)

// loadConfig reads the configuration from the command's flags, the environment, the file and the
// defaults. Its errors name every key that is wrong, and where the value came from.
func loadConfig(c *cobra.Command) (app.Config, error) {
	return app.Load(config.Sources{Flags: c.Flags(), Environ: os.Environ()})
}

// suggestFlag names the flag that an unknown one was probably meant to be.
func suggestFlag(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	if !errors.As(err, &unknown) {
		return err
	}
	var names []string
	c.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
	if best := config.Nearest(strings.TrimLeft(unknown.GetSpecifiedName(), "-"), names); best != "" {
		return wrongUsage("%w, did you mean --%s?", err, best)
	}
	return err
}

// printUsage is what cobra prints, and says what the eighty flags that it leaves out are. As a template, it would keep
// the linker from leaving out methods that nobody calls: several megabytes.
func printUsage(c *cobra.Command) error {
	out := &strings.Builder{}
	part := func(title, text string) {
		_, _ = fmt.Fprintf(out, "\n\n%s:\n%s", title, strings.TrimRight(text, " \n"))
	}
	out.WriteString("Usage:\n  ")
	if c.HasAvailableSubCommands() {
		out.WriteString(c.CommandPath() + " COMMAND")
	} else {
		out.WriteString(c.UseLine())
	}
	if len(c.Aliases) > 0 {
		part("Aliases", "  "+c.NameAndAliases())
	}
	if c.HasExample() {
		part("Examples", c.Example)
	}
	if c.HasAvailableSubCommands() {
		var lines strings.Builder
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() || sub.Name() == "help" {
				_, _ = fmt.Fprintf(&lines, "  %-*s %s\n", sub.NamePadding(), sub.Name(), sub.Short)
			}
		}
		part("Commands", lines.String())
	}
	if c.HasAvailableLocalFlags() {
		part("Flags", c.LocalFlags().FlagUsages())
	}
	if c.HasAvailableInheritedFlags() {
		part("Configuration", c.InheritedFlags().FlagUsages())
	}
	out.WriteString("\n\nEvery configuration key is a flag, too: 'audittrail config --help' lists them.\n")
	_, err := io.WriteString(c.OutOrStderr(), out.String())
	return err
}
