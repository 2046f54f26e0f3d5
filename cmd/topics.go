package cmd

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kerr"

	"audittrail/cmd/app"
	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/console"
	"audittrail/platform/kafka"
	"audittrail/platform/logging"
)

func newTopicsCmd() *cobra.Command {
	c := &cobra.Command{
		Use:   "topics",
		Short: "Show which topics ingest reads, and admit what Kafka lost or made again",
		Long: `When a topic is deleted and made again, Kafka gives it another id, and its offsets begin again: they mean
other records than those that are accounted for. So ingest stops reading such a topic, and goes on with
the others, until an operator admits the new id. It also stops reading a partition if Kafka no longer has
its next offset, until an operator admits the offset to go on at.

Without a subcommand, it lists the topics that the event store at postgres.url knows, with what
kafka.brokers says of them now, and then the admissions of single partitions.`,
		Example: `  audittrail topics
  audittrail topics admit orders`,
		Args: cobra.NoArgs,
	}
	output := addOutput(c, "table", "json")
	c.RunE = func(c *cobra.Command, _ []string) error {
		return withTopics(c, readingRole, func(t topicsOf) error { return t.list(c, output.value) })
	}
	c.AddCommand(newTopicsAdmitCmd())
	return c
}

// topicsOf is the event store and the cluster that its topics are in.
type topicsOf struct {
	cfg  app.Config
	pool *pgxpool.Pool
}

func withTopics(c *cobra.Command, role string, do func(topicsOf) error) error {
	cfg, err := loadConfig(c)
	if err != nil {
		return err
	}
	if err := cfg.Require("postgres.url", "kafka.brokers"); err != nil {
		return err
	}
	pool, err := openStore(c, cfg, "topics", role)
	if err != nil {
		return err
	}
	defer pool.Close()
	return do(topicsOf{cfg: cfg, pool: pool})
}

// live asks the cluster for the topics' present ids.
func (t topicsOf) live(c *cobra.Command, names []string) (map[string]kafka.Topic, error) {
	client, err := kafka.NewClient(t.cfg.Kafka, "topics", logging.New(c.ErrOrStderr(), t.cfg.Log), nil)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	return kafka.Topics(c.Context(), client, names)
}

// topicState is a topic as the list shows it.
type topicState struct {
	Topic      string    `json:"topic"`
	AdmittedID string    `json:"admittedId"`
	AdmittedAt time.Time `json:"admittedAt"`
	AdmittedBy string    `json:"admittedBy"`
	LiveID     string    `json:"liveId,omitempty"`
	State      string    `json:"state"` // read | made again | gone
}

func (t topicsOf) list(c *cobra.Command, format string) error {
	admitted, err := store.Topics(c.Context(), t.pool)
	if err != nil {
		return err
	}
	names := make([]string, len(admitted))
	for i, a := range admitted {
		names[i] = a.Topic
	}
	live, err := t.live(c, names)
	if err != nil {
		return err
	}
	states := make([]topicState, len(admitted))
	for i, a := range admitted {
		if states[i], err = stateOf(a, live[a.Topic]); err != nil {
			return err
		}
	}
	admissions, err := store.Admissions(c.Context(), t.pool)
	if err != nil {
		return err
	}
	if format == "json" {
		return console.PrintJSON(c.OutOrStdout(), struct {
			Items      []topicState            `json:"items"`
			Admissions []store.AdmissionRecord `json:"admissions"`
		}{states, admissions})
	}
	out := console.NewTable(c.OutOrStdout(), "TOPIC", "STATE", "ADMITTED ID", "LIVE ID", "ADMITTED AT", "BY")
	for _, s := range states {
		if err := out.Add(s.Topic, s.State, s.AdmittedID, s.LiveID, s.AdmittedAt.Format(time.RFC3339), s.AdmittedBy); err != nil {
			return err
		}
	}
	if err := out.Flush(); err != nil || len(admissions) == 0 {
		return err
	}
	return printAdmissions(c.OutOrStdout(), admissions)
}

func printAdmissions(w io.Writer, admissions []store.AdmissionRecord) error {
	if _, err := fmt.Fprintln(w, "\nPartitions that operators had go on elsewhere:"); err != nil {
		return err
	}
	out := console.NewTable(w, "TOPIC", "PARTITION", "NEXT WAS", "GOES ON AT", "ADMITTED AT", "BY", "REASON")
	for _, a := range admissions {
		if err := out.Add(a.Topic, strconv.Itoa(int(a.Partition)), console.Grouped(a.From), console.Grouped(a.To), a.At.Format(time.RFC3339), a.By, a.Reason); err != nil {
			return err
		}
	}
	return out.Flush()
}

func stateOf(a store.AdmittedTopic, live kafka.Topic) (topicState, error) {
	s := topicState{
		Topic: a.Topic, AdmittedID: event.ID(a.ID).String(), AdmittedAt: a.At, AdmittedBy: a.By, State: "read",
	}
	switch {
	case errors.Is(live.Err, kerr.UnknownTopicOrPartition):
		s.State = "gone"
	case live.Err != nil:
		return s, fmt.Errorf("topic %s: %w", a.Topic, live.Err)
	default:
		s.LiveID = event.ID(live.ID).String()
		if live.ID != [16]byte(a.ID) {
			s.State = "made again"
		}
	}
	return s, nil
}
