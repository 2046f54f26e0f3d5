package cmd

import (
	"errors"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/platform/console"
	"audittrail/platform/devstack"
	"audittrail/platform/logging"
)

// devDefaults sets what nobody has set: dev listens on this machine only, stops at once, and logs for
// people.
func devDefaults(cfg *app.Config) {
	if !cfg.IsSet("http.addr") {
		cfg.HTTP.Addr = "127.0.0.1:8080"
	}
	if !cfg.IsSet("admin.addr") {
		cfg.Admin.Addr = "127.0.0.1:9090"
	}
	if !cfg.IsSet("shutdown.delay") {
		cfg.Shutdown.Delay = 0 // nobody routes requests here
	}
	if !cfg.IsSet("log.format") {
		cfg.Log.Format = "console"
	}
}

func newDevCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "dev",
		Short: "Run everything in one process: broker, database, sample traffic, API, and a token",
		Long: `Dev runs all that is needed to look around and to develop against, in one process: an embedded Kafka
broker, PostgreSQL (this machine's, or a downloaded one), the schema, every role, the API with its
documents, a token to use, and sample traffic: the orders of a shop, with their reservations,
payments, shipments, refunds, some failures, and a few bad records that end as dead letters.

The ledger's checkpoints are signed with a key that is made once; its verifier keys are in the folder,
for 'audittrail verify --key'.

Its data are kept in the folder --data, and the next start goes on from them, also after a crash or
a kill. Ctrl-C stops it and leaves no process behind. It listens on 127.0.0.1 only.

All of serve's configuration counts. Where kafka.brokers or postgres.url is given, that is used instead
of the embedded one (and PostgreSQL is migrated); where kafka.topics is not, the embedded broker's
topics are all ingested, and of another broker the sample's. With auth.jwks_url or auth.jwks_file no
token is made: the issuer that you name makes them.`,
		Example: `  audittrail dev
  audittrail dev --no-sample --kafka.brokers 127.0.0.1:19092 --kafka.topics orders
  audittrail dev --fresh`,
		Args: cobra.NoArgs,
	}
	var o devOptions
	c.Flags().StringVar(&o.dir, "data", ".audittrail", "folder that keeps the data between starts")
	c.Flags().BoolVar(&o.fresh, "fresh", false, "delete what dev keeps in the folder, and begin anew")
	noSample := c.Flags().Bool("no-sample", false, "publish no sample traffic")
	c.RunE = func(c *cobra.Command, _ []string) error {
		o.sample = !*noSample
		o.started = time.Now()
		return runDev(c, o)
	}
	return c
}

// devOptions are dev's own flags.
type devOptions struct {
	dir           string
	fresh, sample bool
	started       time.Time
}

func runDev(c *cobra.Command, o devOptions) (err error) {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	devDefaults(&cfg)
	if o.dir == "" {
		return wrongUsage("--data must not be empty")
	}
	folder, err := openFolder(o.dir)
	if errors.Is(err, devstack.ErrFolderInUse) {
		return errors.Join(err, errors.New("stop it first, or give this one another folder with --data"))
	}
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	embeds := embedsPostgres(&cfg, folder)
	if o.fresh {
		if err := folder.Reset(); err != nil {
			return err
		}
	}
	d := &dev{
		options: o, cfg: cfg, folder: folder, embeds: embeds,
		log: logging.New(c.ErrOrStderr(), cfg.Log), out: c.OutOrStdout(), terminal: console.IsTerminal(c.OutOrStdout()),
	}
	return d.run(c.Context())
}

// embedsPostgres says whether the database is to be dev's own: none was given, or the own one of an earlier
// start, as in a shell that was prepared for the commands beside dev.
func embedsPostgres(cfg *app.Config, folder *devstack.Folder) bool {
	if !cfg.IsSet("postgres.url") {
		return true
	}
	own, err := os.ReadFile(folder.Path(partPostgresURL))
	return err == nil && strings.TrimSpace(string(own)) == cfg.Postgres.URL
}
