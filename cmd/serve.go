package cmd

import (
	"github.com/spf13/cobra"

	"audittrail/cmd/app"
)

func newServeCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the roles until SIGINT or SIGTERM",
		Long: `Serve runs the roles that 'roles' names, all of them by default:

  ingest     reads the topics of kafka.topics, and stores each event exactly once
  api        answers questions about the history at http.addr
  analytics  counts events by time, type, source and user while they come in
  maintain   makes partitions ahead of time and keeps the indexes fast
  notary     signs a checkpoint of the ledger when it has grown (needs ledger.origin, ledger.signing_key)

Any number of processes may run the same roles. Serve never changes the schema. A role waits until
'audittrail migrate up' has brought the schema up to date, and until PostgreSQL and Kafka answer. /readyz
on the operators' port (admin.addr) says what it waits for, and /readyz/api that of one role alone.

On SIGTERM /readyz becomes 503, and everything goes on for shutdown.delay, so that load balancers can
route elsewhere. Then the roles stop within shutdown.grace. SIGINT stops without the delay, a second
signal at once. SIGHUP reads certificates and token keys again. Exit status 0 after an orderly stop, 1
if a role failed or did not stop in time.

Metrics are at /metrics of the operators' port. With OTEL_EXPORTER_OTLP_ENDPOINT, and the other standard
OTEL_* variables, traces and logs are sent by OTLP.`,
		Example: `  # everything in one process
  audittrail serve --config audittrail.yaml

  # two processes that only ingest, beside others
  audittrail serve --roles ingest --postgres.url "$DATABASE_URL" --kafka.brokers k1:9092,k2:9092 \
      --kafka.topics 'orders,^payments\..*'`,
		Args: cobra.NoArgs,
	}
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		reload, release := reloadSignal()
		defer release()
		o, err := app.Observe(c.Context(), c.ErrOrStderr(), app.Options{Config: cfg, Reload: reload})
		if err != nil {
			return err
		}
		return app.Run(c.Context(), o)
	}
	return c
}
