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

Dev makes the key that signs the ledger's checkpoints once. The verifier keys are files in the data
folder, for 'audittrail verify --key'.

Dev keeps its data in the folder --data. The next start continues with these data, also after a crash
or a kill. Ctrl-C stops dev and leaves no process behind. Dev listens on 127.0.0.1 only.

Dev reads all of serve's configuration:
- With kafka.brokers or postgres.url it uses your Kafka or PostgreSQL instead of the embedded one. It
  migrates your PostgreSQL.
- Without kafka.topics it ingests all topics of the embedded broker, but only the sample's topics of
  your Kafka.
- With auth.jwks_url, auth.jwks_file, auth.issuers or a URL as auth.issuer it makes no token: you get
  your tokens from that issuer.`,
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
