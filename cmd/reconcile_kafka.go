package cmd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/cmd/app"
	"audittrail/modules/event"
	"audittrail/modules/ingest"
	"audittrail/modules/store"
	"audittrail/modules/store/audit"
	"audittrail/platform/console"
	"audittrail/platform/kafka"
	"audittrail/platform/logging"
)

// brokerPatience is how long the brokers may take to answer all that reconcile asks at once.
const brokerPatience = 15 * time.Second

// kafkaSide is what Kafka says beside the accounting.
type kafkaSide struct {
	client *kgo.Client
	logs   kafka.Logs
	given  bool     // somebody gave kafka.brokers: that they do not answer is a failure
	named  []string // topics that kafka.topics names

	Checked bool     `json:"checked"`          // all of it
	Why     string   `json:"reason,omitempty"` // why not
	Gone    []string `json:"gone"`             // topics that the event store knows and Kafka does not have
	Missing []string `json:"missing"`          // topics that kafka.topics names, and that neither of them knows
}

// newKafkaSide reads where the logs begin. That must be before the accounting is read: see store.CompareKafka.
func newKafkaSide(c *cobra.Command, cfg app.Config, db *pgxpool.Pool) (*kafkaSide, error) {
	k := &kafkaSide{given: cfg.IsSet("kafka.brokers"), Gone: []string{}, Missing: []string{}}
	for _, topic := range cfg.Kafka.Topics {
		if !kafka.IsPattern(topic) {
			k.named = append(k.named, topic)
		}
	}
	client, err := kafka.NewClient(cfg.Kafka, "reconcile", logging.New(c.ErrOrStderr(), cfg.Log), nil,
		kgo.RequestRetries(3), kgo.RetryTimeout(brokerPatience/3))
	if err != nil {
		return nil, err
	}
	k.client = client
	positions, err := store.ReadPositions(c.Context(), db)
	if err != nil {
		client.Close()
		return nil, err
	}
	k.failed(k.begin(c.Context(), cfg, positions.Admitted))
	return k, nil
}

func (k *kafkaSide) begin(ctx context.Context, cfg app.Config, known map[string]event.TopicID) error {
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	names := slices.Clone(k.named)
	for topic := range known {
		names = append(names, topic)
	}
	if len(k.named) < len(cfg.Kafka.Topics) {
		matching, err := kafka.TopicNames(ctx, k.client, ingest.Subscribes(cfg.Kafka.Topics, cfg.Ingest.DLQSuffix))
		if err != nil {
			return err
		}
		names = append(names, matching...)
	}
	slices.Sort(names)
	var err error
	k.logs, err = kafka.ReadLogStarts(ctx, k.client, slices.Compact(names))
	return err
}

// failed notes why Kafka could not be asked.
func (k *kafkaSide) failed(err error) {
	if err != nil && k.Why == "" {
		k.Why = err.Error()
	}
}

// compare reads where the logs end, and compares them with the accounting.
func (k *kafkaSide) compare(ctx context.Context, db *pgxpool.Pool, r *audit.Reconciliation) error {
	if k.Why != "" {
		return nil
	}
	positions, err := store.ReadPositions(ctx, db)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, brokerPatience)
	defer cancel()
	if err := k.logs.ReadLogEnds(ctx, k.client); err != nil {
		k.failed(err)
		return nil
	}
	logs := make([]audit.KafkaLog, len(k.logs.All))
	for i, log := range k.logs.All {
		logs[i] = audit.KafkaLog{
			Partition: store.Partition{TopicID: log.ID, Topic: log.Topic, Number: log.Partition},
			First:     log.Start, End: log.End,
		}
	}
	r.CompareKafka(positions, logs)
	for _, topic := range k.logs.Missing {
		id, ok := positions.Admitted[topic]
		if !ok {
			k.Missing = append(k.Missing, topic)
			continue
		}
		k.Gone = append(k.Gone, topic)
		if slices.Contains(k.named, topic) {
			r.TopicGone(topic, id)
		}
	}
	k.failed(k.logs.Error())
	k.Checked = k.Why == ""
	return nil
}

// err is not nil where Kafka was to be asked and could not be.
func (k *kafkaSide) err() error {
	if k.Checked || !k.given {
		return nil
	}
	return fmt.Errorf("what Kafka holds was not checked, or not all of it: %s", k.Why)
}

// words say what was found in Kafka, or that it was not looked at.
func (k *kafkaSide) words(r *audit.Reconciliation) string {
	var b strings.Builder
	if k.Checked {
		fmt.Fprintf(&b, "Kafka has %s offsets that are still to be read.\n", console.Grouped(r.ToRead))
	} else {
		fmt.Fprintf(&b, "Kafka was not checked, or not all of it (kafka.brokers): %s\n", k.Why)
	}
	for _, topic := range k.Gone {
		fmt.Fprintf(&b, "Topic %s is not in Kafka any more; its accounting stays as it is.\n", topic)
	}
	for _, topic := range k.Missing {
		fmt.Fprintf(&b, "Topic %s, which kafka.topics names, does not exist in Kafka: is its name right?\n", topic)
	}
	return b.String()
}
