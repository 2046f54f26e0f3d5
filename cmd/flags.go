package cmd

import (
	"errors"
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

// usageTemplate is cobra's, and says what the eighty flags that it leaves out are.
const usageTemplate = `Usage:{{if .HasAvailableSubCommands}}
  {{.CommandPath}} COMMAND{{else}}
  {{.UseLine}}{{end}}{{if gt (len .Aliases) 0}}

Aliases:
  {{.NameAndAliases}}{{end}}{{if .HasExample}}

Examples:
{{.Example}}{{end}}{{if .HasAvailableSubCommands}}

Commands:{{range .Commands}}{{if (or .IsAvailableCommand (eq .Name "help"))}}
  {{rpad .Name .NamePadding }} {{.Short}}{{end}}{{end}}{{end}}{{if .HasAvailableLocalFlags}}

Flags:
{{.LocalFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}{{if .HasAvailableInheritedFlags}}

Configuration:
{{.InheritedFlags.FlagUsages | trimTrailingWhitespaces}}{{end}}

Every configuration key is a flag, too: 'audittrail config --help' lists them.
`
