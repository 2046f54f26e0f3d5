package cmd

import (
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/migrate"
	"audittrail/platform/console"
	"audittrail/platform/errs"
	"audittrail/platform/logging"
)

func newMigrateCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "migrate",
		Short: "Bring the database's schema up to date, or tell which one it has",
		Long: `Migrate changes and inspects the schema of the database at postgres.url. 'up' also migrates that of encryption.keys_url. 'serve' never does; its roles
wait until the schema is there. The login must be a superuser, or one that may create roles and owns
the database, or a member of audittrail_owner.

Several may run at once: they wait for each other. Each migration is one transaction together with the
record of its version, so a migration that fails or is interrupted changes nothing.`,
		Args: subcommandOnly,
		RunE: showHelp,
	}
	c.AddCommand(newMigrateUpCmd(), newMigrateDownCmd(), newMigrateStatusCmd(), newMigrateForceCmd(), newMigrateGrantCmd())
	return c
}

func newMigrateUpCmd() *cobra.Command {
	return &cobra.Command{
		Use:     "up",
		Short:   "Apply every migration that the database does not have",
		Example: `  audittrail migrate up --postgres.url "$OWNER_URL"`,
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			opts, err := migrateOptions(c)
			if err != nil {
				return err
			}
			if err := migrate.Up(c.Context(), opts); err != nil {
				return migrateError(err)
			}
			cfg, err := loadConfig(c)
			if err != nil {
				return err
			}
			if url := cfg.Encryption.KeysURL; url != "" && url != opts.URL {
				keys := opts
				keys.URL = url
				if err := migrate.Up(c.Context(), keys); err != nil {
					return fmt.Errorf("encryption.keys_url: %w", migrateError(err))
				}
			}
			return printStatus(c, opts)
		},
	}
}

func newMigrateDownCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "down N",
		Short: "Revert the last N migrations",
		Long: `Down reverts the last N migrations, newest first. If it would drop a table with rows, it changes nothing,
names the tables and ends with exit status 1; --destroy-data drops them. Database roles stay, since they
belong to the whole cluster.`,
		Example: `  audittrail migrate down 1
  audittrail migrate down 1 --destroy-data   # and all that the dropped tables hold`,
		Args: cobra.ExactArgs(1),
	}
	destroy := c.Flags().Bool("destroy-data", false, "drop tables even if they hold rows")
	c.RunE = func(c *cobra.Command, args []string) error {
		n, err := wholeNumber("N", args[0], 1)
		if err != nil {
			return err
		}
		opts, err := migrateOptions(c)
		if err != nil {
			return err
		}
		if err := migrate.Down(c.Context(), opts, n, *destroy); err != nil {
			return migrateError(err)
		}
		return printStatus(c, opts)
	}
	return c
}

func newMigrateStatusCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "status",
		Short: "Tell the schema's version and what is pending",
		Example: `  audittrail migrate status
  audittrail migrate status --output json | jq .pending`,
		Args: cobra.NoArgs,
	}
	output := addOutput(c, "text", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		opts, err := migrateOptions(c)
		if err != nil {
			return err
		}
		if output.value != "json" {
			return printStatus(c, opts)
		}
		s, err := migrate.ReadStatus(c.Context(), opts)
		if err != nil {
			return err
		}
		return console.PrintJSON(c.OutOrStdout(), s)
	}
	return c
}

func newMigrateForceCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "force V",
		Short: "Record that the schema has version V and is whole, without changing it",
		Long: `Force writes down that the schema has version V (0: it is empty) and is whole. It runs no migration. It
is for a schema that an older version of this program marked as interrupted, after a look at what it
really has, and after repairs by hand. A migration and its record commit together, so an interrupted
'up' needs no force: run it again.`,
		Example: `  audittrail migrate status
  audittrail migrate force 3`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			version, err := wholeNumber("V", args[0], 0)
			if err != nil {
				return err
			}
			opts, err := migrateOptions(c)
			if err != nil {
				return err
			}
			if err := migrate.Force(c.Context(), opts, version); err != nil {
				return migrateError(err)
			}
			return printStatus(c, opts)
		},
	}
}

// migrateOptions reads where to migrate from the configuration.
func migrateOptions(c *cobra.Command) (migrate.Options, error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return migrate.Options{}, err
	}
	if err := cfg.Require("postgres.url"); err != nil {
		return migrate.Options{}, err
	}
	return optionsFor(c.ErrOrStderr(), cfg), nil
}

func optionsFor(stderr io.Writer, cfg app.Config) migrate.Options {
	return migrate.Options{URL: cfg.Postgres.URL, Log: logging.New(stderr, cfg.Log)}
}

// migrateError decides the exit status: what the caller asked for may be what was wrong.
func migrateError(err error) error {
	if errs.Of(err).Kind == errs.Invalid {
		return &statusError{statusUsage, err}
	}
	return err
}

func wholeNumber(name, text string, least int) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < least {
		return 0, wrongUsage("%s must be a whole number, at least %d", name, least)
	}
	return n, nil
}

// printStatus says in a sentence what the database has now.
func printStatus(c *cobra.Command, opts migrate.Options) error {
	s, err := migrate.ReadStatus(c.Context(), opts)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.OutOrStdout(), statusLine(s))
	return err
}

func statusLine(s migrate.Status) string {
	switch {
	case s.Dirty:
		return fmt.Sprintf("version %d: its migration was interrupted (see audittrail migrate force --help)", s.Version)
	case s.Version > s.Latest:
		return fmt.Sprintf("version %d: newer than this program, which knows %d", s.Version, s.Latest)
	case len(s.Pending) > 0:
		return fmt.Sprintf("version %d of %d: %d pending", s.Version, s.Latest, len(s.Pending))
	}
	return fmt.Sprintf("version %d: up to date", s.Version)
}
