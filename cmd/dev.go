package cmd

import (
	"time"

	"github.com/spf13/cobra"

	"audittrail/cmd/dev"
)

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
topics are all ingested, and of another broker the sample's. With auth.jwks_url, auth.jwks_file,
auth.issuers or a URL as auth.issuer no token is made: the issuer that you name makes them.`,
		Example: `  audittrail dev
  audittrail dev --no-sample --kafka.brokers 127.0.0.1:19092 --kafka.topics orders
  audittrail dev --fresh
  audittrail dev --keys-only    # then give serve what is in .audittrail, as compose.yaml does`,
		Args: cobra.NoArgs,
	}
	var o dev.Options
	c.Flags().StringVar(&o.Dir, "data", ".audittrail", "folder that keeps the data between starts")
	c.Flags().BoolVar(&o.Fresh, "fresh", false, "delete what dev keeps in the folder, and begin anew")
	keysOnly := c.Flags().Bool("keys-only", false, "make the folder's keys and token, for a serve that is given them, and end")
	noSample := c.Flags().Bool("no-sample", false, "publish no sample traffic")
	c.RunE = func(c *cobra.Command, _ []string) (err error) {
		o.Started, o.Sample, o.Out, o.Log = time.Now(), !*noSample, c.OutOrStdout(), c.ErrOrStderr()
		if o.Config, err = loadConfig(c); err != nil {
			return err
		}
		if o.Dir == "" {
			return wrongUsage("--data must not be empty")
		}
		if *keysOnly {
			return dev.MakeKeys(o)
		}
		return dev.Run(c.Context(), o)
	}
	return c
}
