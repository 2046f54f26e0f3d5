package cmd

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"audittrail/cmd/app"
	"audittrail/platform/config"
	"audittrail/platform/console"
)

// helpColumns is how wide the list of keys is wrapped.
const helpColumns = 110

func newConfigCmd(schema *config.Schema) *cobra.Command {
	c := &cobra.Command{
		Use:   "config",
		Short: "Check the configuration, or print it with where each value came from",
		Long: `A configuration key can be given in four ways. The first one found wins:

  a flag         --http.addr :8443
  a variable     AUDITTRAIL_HTTP_ADDR=:8443   (the key in capitals, dots as _)
  a YAML file    http: {addr: ":8443"}        (named by --config or AUDITTRAIL_CONFIG)
  its default

Unknown keys and unknown AUDITTRAIL_ variables are errors. A secret may come from a file that the
variable with _FILE appended names (AUDITTRAIL_POSTGRES_URL_FILE=/run/secrets/postgres). A list is
given as a,b,c; lists of objects are YAML in the file, and JSON in a flag or a variable.

All keys:

` + allKeys(schema),
		Args: subcommandOnly,
		RunE: showHelp,
	}
	c.AddCommand(newConfigCheckCmd(), newConfigPrintCmd())
	return c
}

func allKeys(schema *config.Schema) string {
	fs := pflag.NewFlagSet("keys", pflag.ContinueOnError)
	fs.SortFlags = false
	schema.AddFlags(fs)
	fs.VisitAll(func(f *pflag.Flag) { f.Hidden = f.Name == config.ConfigKey })
	return strings.TrimRight(fs.FlagUsagesWrapped(helpColumns), "\n")
}

func newConfigCheckCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "check",
		Short: "Report every key that is wrong or missing",
		Long: `Check reports every key that is unknown, of a wrong type, not valid, or missing for the roles that
'roles' names, and TLS files that can't be used. It makes no connection. Exit status 2 if something is wrong.`,
		Example: `  audittrail config check --config audittrail.yaml
  audittrail config check --roles ingest --kafka.topics orders`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			if err := app.Check(cfg); err != nil {
				return err
			}
			for _, note := range cfg.Identifiers() {
				_, _ = fmt.Fprintln(c.ErrOrStderr(), "note:", note)
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), "the configuration is complete")
			return err
		},
	}
}

func newConfigPrintCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "print",
		Short: "Print every key with its value and where it came from, secrets masked",
		Example: `  audittrail config print --config audittrail.yaml
  audittrail config print --output json | jq '.[] | select(.origin != "default")'`,
		Args: cobra.NoArgs,
	}
	output := addOutput(c, "table", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		if output.value == "json" {
			return console.PrintJSON(c.OutOrStdout(), cfg.Values())
		}
		return printValues(c.OutOrStdout(), cfg.Values())
	}
	return c
}

func printValues(w io.Writer, values []config.Value) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(table, "KEY\tVALUE\tORIGIN") // a failure is told by Flush
	for _, v := range values {
		_, _ = fmt.Fprintf(table, "%s\t%s\t%s\n", v.Key, printable(v.Text()), v.Origin)
	}
	return table.Flush()
}

// printable keeps a value on its line and in its column.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
