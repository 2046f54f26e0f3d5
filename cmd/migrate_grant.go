package cmd

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/migrate"
)

func newMigrateGrantCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "grant LOGIN",
		Short: "Print what the login of 'serve' needs, or grant it",
		Long: `Grant prints the SQL that lets LOGIN act as the database roles of 'serve' --roles, and nothing else. LOGIN has
their rights only while it acts as one of them. --apply runs the SQL at postgres.url; log in there as a
superuser or as the login that ran 'migrate up'. Grant does not make LOGIN.

With --analyst, LOGIN is that of an analyst's tool: it may read the views analyst_…, and no table.`,
		Example: `  audittrail migrate grant audittrail_app
  audittrail migrate grant audittrail_app --roles ingest,api --apply
  audittrail migrate grant metabase --analyst --apply`,
		Args: cobra.ExactArgs(1),
	}
	apply := c.Flags().Bool("apply", false, "run the statements instead of printing them")
	analyst := c.Flags().Bool("analyst", false, "let LOGIN read the views for analysts' own tools, and nothing else")
	c.RunE = func(c *cobra.Command, args []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		if err := cfg.Require("postgres.url"); err != nil {
			return err
		}
		if args[0] == "" || strings.ContainsRune(args[0], 0) {
			return wrongUsage("LOGIN must be the name of a database role")
		}
		opts, roles := optionsFor(c.ErrOrStderr(), cfg), app.DatabaseRoles(cfg)
		var statements []string
		if *analyst {
			statements, err = migrate.GrantAnalyst(c.Context(), opts, args[0], *apply)
		} else {
			statements, err = migrate.Grant(c.Context(), opts, args[0], roles, *apply)
		}
		if err != nil {
			return migrateError(err)
		}
		switch {
		case *apply && *analyst:
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s may read the views analyst_…\n", args[0])
		case *apply:
			_, err = fmt.Fprintf(c.OutOrStdout(), "%s may act as %s\n", args[0], strings.Join(roles, ", "))
		default:
			_, err = fmt.Fprintln(c.OutOrStdout(), strings.Join(statements, ";\n")+";")
		}
		return err
	}
	return c
}
