// Package reconcile compares the accounting of offsets with what Kafka says. The command `audittrail reconcile` does so
// once. Checker does so now and then, in the one process that leads, and tells the outcome as metrics.
//
// The comparison itself and all SQL are in package store/audit. This package changes nothing, neither in PostgreSQL nor
// in Kafka.
package reconcile

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/modules/store/audit"
	"audittrail/platform/kafka"
)

// How long the brokers may take to answer what is asked at once. The leader's session ends where it is idle for 15 s.
const (
	Patience        = 15 * time.Second
	patienceOfCheck = 5 * time.Second
)

// Cluster is the Kafka that the accounting is compared with.
type Cluster struct {
	client   *kgo.Client
	patience time.Duration
	named    []string                // topics that kafka.topics names
	patterns bool                    // kafka.topics has patterns too
	wanted   func(topic string) bool // of the topics that patterns may find
}

// Connect returns the cluster of o. It dials nothing yet. wanted tells which topics ingest reads. Of each group of
// questions the brokers may take patience to answer. The caller MUST call Close.
func Connect(o kafka.Options, patience time.Duration, wanted func(topic string) bool, log *slog.Logger) (*Cluster, error) {
	c := &Cluster{wanted: wanted, patience: patience}
	for _, topic := range o.Topics {
		if kafka.IsPattern(topic) {
			c.patterns = true
		} else {
			c.named = append(c.named, topic)
		}
	}
	var err error
	c.client, err = kafka.NewClient(o, "reconcile", log, nil, kgo.RequestRetries(3), kgo.RetryTimeout(patience/3))
	return c, err
}

// Close ends the connections.
func (c *Cluster) Close() { c.client.Close() }

// Comparison is what Kafka says beside the accounting.
type Comparison struct {
	Checked bool     `json:"checked"`          // all of it
	Why     string   `json:"reason,omitempty"` // why not
	Gone    []string `json:"gone"`             // topics that the event store knows and Kafka does not have
	Missing []string `json:"missing"`          // topics that kafka.topics names, and that neither of them knows

	cluster *Cluster
	logs    kafka.Logs
}

// Database is what positions are read from: a pool or a connection.
type Database interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// Begin reads where the logs begin. The caller MUST read the accounting after that, and then call Finish: see
// audit.Reconciliation.CompareKafka. A Kafka that does not answer is no error, but in the Comparison.
func (c *Cluster) Begin(ctx context.Context, db Database) (*Comparison, error) {
	k := &Comparison{Gone: []string{}, Missing: []string{}, cluster: c}
	positions, err := store.ReadPositions(ctx, db)
	if err != nil {
		return nil, err
	}
	k.failed(k.begin(ctx, positions.Admitted))
	return k, nil
}

func (k *Comparison) begin(ctx context.Context, known map[string]event.TopicID) error {
	ctx, cancel := context.WithTimeout(ctx, k.cluster.patience)
	defer cancel()
	names := slices.Clone(k.cluster.named)
	for topic := range known {
		names = append(names, topic)
	}
	if k.cluster.patterns {
		matching, err := kafka.TopicNames(ctx, k.cluster.client, k.cluster.wanted)
		if err != nil {
			return err
		}
		names = append(names, matching...)
	}
	slices.Sort(names)
	var err error
	k.logs, err = kafka.ReadLogStarts(ctx, k.cluster.client, slices.Compact(names))
	return err
}

// failed notes why Kafka could not be asked.
func (k *Comparison) failed(err error) {
	if err != nil && k.Why == "" {
		k.Why = err.Error()
	}
}

// HasLogs reports whether Kafka told of any log.
func (k *Comparison) HasLogs() bool { return len(k.logs.All) > 0 }

// Finish reads where the logs end, and compares them with the accounting.
func (k *Comparison) Finish(ctx context.Context, db Database, r *audit.Reconciliation) error {
	if k.Why != "" {
		return nil
	}
	positions, err := store.ReadPositions(ctx, db)
	if err != nil {
		return err
	}
	k.compare(ctx, positions, r)
	return nil
}

func (k *Comparison) compare(ctx context.Context, positions store.Positions, r *audit.Reconciliation) {
	ctx, cancel := context.WithTimeout(ctx, k.cluster.patience)
	defer cancel()
	if err := k.logs.ReadLogEnds(ctx, k.cluster.client); err != nil {
		k.failed(err)
		return
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
		if slices.Contains(k.cluster.named, topic) {
			r.TopicGone(topic, id)
		}
	}
	k.failed(k.logs.Error())
	k.Checked = k.Why == ""
}

// Err is not nil where Kafka was not checked, or not all of it.
func (k *Comparison) Err() error {
	if k.Checked {
		return nil
	}
	return fmt.Errorf("what Kafka holds was not checked, or not all of it: %s", k.Why)
}
