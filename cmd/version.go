package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"audittrail/platform/console"
	"audittrail/platform/telemetry/buildinfo"
)

func newVersionCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "version",
		Short: "Print what this binary was built from",
		Example: `  audittrail version
  audittrail version --output json`,
		Args: cobra.NoArgs,
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		b := buildinfo.Read()
		if output.value == "json" {
			return console.PrintJSON(c.OutOrStdout(), b)
		}
		_, err := fmt.Fprint(c.OutOrStdout(), versionText(b))
		return err
	}
	return c
}

func versionText(b buildinfo.Info) string {
	return fmt.Sprintf("audittrail %s\ncommit   %s (%s)\nbuilt by %s for %s\n", b.Version, b.Revision, b.Time, b.Go, b.Platform)
}

// addVersion gives the root command --version, which prints what the version command prints.
func addVersion(root *cobra.Command) {
	asked := root.Flags().Bool("version", false, "print what this binary was built from")
	otherwise := root.RunE
	root.RunE = func(c *cobra.Command, args []string) error {
		if !*asked {
			return otherwise(c, args)
		}
		_, err := fmt.Fprint(c.OutOrStdout(), versionText(buildinfo.Read()))
		return err
	}
}
