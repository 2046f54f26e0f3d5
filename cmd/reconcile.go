package cmd

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"audittrail/modules/ingest"
	"audittrail/modules/ingest/reconcile"
	"audittrail/modules/store/audit"
	"audittrail/platform/console"
	"audittrail/platform/logging"
)

func newReconcileCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "reconcile",
		Short: "Check that every Kafka offset is accounted for, and that Kafka and the tables agree",
		Long: `Reconcile reads the event store at postgres.url and checks, in one snapshot:

  - every offset between a partition's first and next one is in exactly one range;
  - each range's stored, duplicates, dead-lettered and absent add up to its offsets;
  - events that ranges count as stored are in events, with these offsets; event_keys and ledger_batches
    have as many in each batch, with the same ids and times;
  - records that ranges count as dead-lettered are in dead_letters;
  - positions are dense from 0;
  - each admission of an operator fits the offsets and ranges of its partition.

It asks Kafka, at kafka.brokers, for the logs of the topics that the event store knows and of those that
kafka.topics names. It shows their first and end offsets and how many are still to be read, and checks that

  - each topic is the one that was read, and was not deleted and made again;
  - no log begins after the partition's next offset: those records were deleted unread;
  - no log ends before it: the log was cut, or is another one;
  - each partition is known to the event store: another installation may read it.

It may run while ingest does. Each discrepancy is printed with its place, what was expected and what
was found. Exit status 0 if there is none, 1 otherwise. Records that are still to be read are none. If
Kafka does not answer, a line says so, and the status is 1 if kafka.brokers was given.

With --watch it does so again and again, every so often by --every, and prints a line each time, and the
discrepancies when they change. It ends when it is interrupted, with the status of the last time. Each time
reads all events once; the pause is at least as long as that took.`,
		Example: `  audittrail reconcile --postgres.url "$DATABASE_URL"
  audittrail reconcile --output json | jq .discrepancies
  audittrail reconcile --watch --every 5m`,
		Args: cobra.NoArgs,
	}
	output := addOutput(c, "table", "json")
	watch := c.Flags().Bool("watch", false, "go on checking until interrupted")
	every := c.Flags().Duration("every", time.Minute, "how often --watch checks")
	c.RunE = func(c *cobra.Command, _ []string) error {
		cfg, err := loadConfig(c)
		if err != nil {
			return err
		}
		db, err := openStore(c, cfg, "reconcile", readingRole)
		if err != nil {
			return err
		}
		defer db.Close()
		wanted := ingest.Subscribes(cfg.Kafka.Topics, cfg.Ingest.DLQSuffix)
		cluster, err := reconcile.Connect(cfg.Kafka, reconcile.Patience, wanted, logging.New(c.ErrOrStderr(), cfg.Log))
		if err != nil {
			return err
		}
		defer cluster.Close()
		check := func() (*audit.Reconciliation, *kafkaSide, error) {
			return reconcileBoth(c, cluster, db, cfg.IsSet("kafka.brokers"))
		}
		if *watch {
			if *every < time.Second {
				return wrongUsage("--every must be at least 1s")
			}
			return (&reconcileWatch{c: c, json: output.value == "json", every: *every, check: check}).run()
		}
		report, side, err := check()
		if err != nil {
			return err
		}
		if output.value == "json" {
			err = printReconciliationJSON(c.OutOrStdout(), report, side)
		} else {
			err = printReconciliation(c.OutOrStdout(), report, side)
		}
		if err != nil {
			return err
		}
		return imbalance(report, side)
	}
	return c
}

// reconcileBoth compares the tables with each other and with Kafka.
func reconcileBoth(c *cobra.Command, cluster *reconcile.Cluster, db *pgxpool.Pool, given bool) (*audit.Reconciliation, *kafkaSide, error) {
	side, err := cluster.Begin(c.Context(), db)
	if err != nil {
		return nil, nil, err
	}
	report, err := reconcileTables(c, db)
	if err != nil {
		return nil, nil, err
	}
	return report, &kafkaSide{side, given}, side.Finish(c.Context(), db, report)
}

// imbalance is an error where something does not fit, or could not be looked at.
func imbalance(report *audit.Reconciliation, side *kafkaSide) error {
	if n := int64(len(report.Discrepancies)) + report.Unlisted; n > 0 {
		return errors.Join(fmt.Errorf("the accounting does not balance: %s discrepancies", console.Grouped(n)), side.err())
	}
	return side.err()
}

// reconcileTables compares the tables and tells on stderr which step it is at.
func reconcileTables(c *cobra.Command, db *pgxpool.Pool) (*audit.Reconciliation, error) {
	started := time.Now()
	steps := make(chan string, 1)
	step := "beginning"
	telling := console.StartProgress(c.ErrOrStderr(), func() string {
		select {
		case step = <-steps:
		default:
		}
		return fmt.Sprintf("%s (%s)", step, time.Since(started).Round(time.Second))
	})
	defer telling.Stop()
	return audit.Reconcile(c.Context(), db, func(n, of int, what string) {
		select {
		case <-steps: // one that nobody has seen is out of date
		default:
		}
		steps <- fmt.Sprintf("%d of %d: %s", n, of, what)
	})
}

func printReconciliationJSON(w io.Writer, r *audit.Reconciliation, k *kafkaSide) error {
	return console.PrintJSON(w, struct {
		Balanced bool `json:"balanced"`
		*audit.Reconciliation
		Kafka *kafkaSide `json:"kafka"`
	}{r.Balanced(), r, k})
}

func printReconciliation(w io.Writer, r *audit.Reconciliation, k *kafkaSide) error {
	if err := printAccounts(w, r, k.HasLogs()); err != nil {
		return err
	}
	if r.Balanced() {
		if _, err := fmt.Fprintln(w, "\nEvery offset is accounted for, and all tables agree."); err != nil {
			return err
		}
	} else if err := printDiscrepancies(w, r); err != nil {
		return err
	}
	_, err := io.WriteString(w, k.words(r))
	return err
}

// printAccounts prints a line a partition, with Kafka's offsets where there are any.
func printAccounts(w io.Writer, r *audit.Reconciliation, withKafka bool) error {
	beside := func(cells ...string) []string {
		if withKafka {
			return cells
		}
		return nil
	}
	row := func(front, kafka []string, behind ...string) []string { return slices.Concat(front, kafka, behind) }
	t := console.NewTable(w, row([]string{"TOPIC", "PARTITION", "FIRST", "NEXT"}, beside("KAFKA FIRST", "KAFKA END", "TO READ"),
		"OFFSETS", "STORED", "DUPLICATES", "DEAD-LETTERED", "ABSENT")...)
	for _, p := range r.Partitions {
		front := []string{p.Topic, strconv.Itoa(int(p.Partition)), console.Grouped(p.FirstOffset), console.Grouped(p.NextOffset)}
		kafka := beside(orDash(p.KafkaFirst), orDash(p.KafkaEnd), orDash(p.ToRead))
		if err := t.Add(row(front, kafka, accountCells(p.Account)...)...); err != nil {
			return err
		}
	}
	if err := t.Add(row([]string{"total", "", "", ""}, beside("", "", console.Grouped(r.ToRead)), accountCells(r.Total)...)...); err != nil {
		return err
	}
	return t.Flush()
}

// orDash is a number, or a dash where there is none.
func orDash(n *int64) string {
	if n == nil {
		return "-"
	}
	return console.Grouped(*n)
}

func accountCells(a audit.Account) []string {
	return []string{console.Grouped(a.Offsets), console.Grouped(a.Stored), console.Grouped(a.Duplicates), console.Grouped(a.DeadLettered), console.Grouped(a.Absent)}
}

func printDiscrepancies(w io.Writer, r *audit.Reconciliation) error {
	if _, err := fmt.Fprintln(w); err != nil {
		return err
	}
	t := console.NewTable(w, "CHECK", "WHERE", "EXPECTED", "FOUND", "RULE")
	for _, d := range r.Discrepancies {
		if err := t.Add(d.Check, d.Place(), fmt.Sprint(d.Expected), fmt.Sprint(d.Found), d.Detail); err != nil {
			return err
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Unlisted == 0 {
		return nil
	}
	_, err := fmt.Fprintf(w, "and %s more\n", console.Grouped(r.Unlisted))
	return err
}
