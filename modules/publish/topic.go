package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// What a topic takes where the cluster does not tell: Kafka's own default, less what surrounds a record.
const (
	defaultMaxMessageBytes = 1 << 20
	recordOverhead         = 512 // of a batch of one record, its key and its compression gone wrong
)

// Topic is what there is to know of a topic before something is sent to it.
type Topic struct {
	maxBytes int32 // of a batch; a record alone may need all of it
}

// MaxLine is the longest line that fits into a batch together with its key.
func (t Topic) MaxLine() int { return int(t.maxBytes) - recordOverhead }

// NewClient makes the client that a Publisher to the topic sends with.
func (t Topic) NewClient(o kafka.Options, log *slog.Logger) (*kgo.Client, error) {
	return kafka.NewClient(o, "publish", log, nil,
		kgo.RequiredAcks(kgo.AllISRAcks()), // idempotent, which is the client's default
		kgo.ProducerBatchMaxBytes(t.maxBytes),
		kgo.ProducerLinger(20*time.Millisecond),
		kgo.MaxBufferedBytes(max(64<<20, 2*int(t.maxBytes))),
		kgo.RecordDeliveryTimeout(time.Minute))
}

// FindTopic sees that the topic exists, and makes it where partitions says how many it is to have. The errors
// name the flags of `audittrail publish`.
func FindTopic(ctx context.Context, o kafka.Options, log *slog.Logger, topic string, partitions int32) (Topic, error) {
	client, err := kafka.NewClient(o, "publish-admin", log, nil)
	if err != nil {
		return Topic{}, err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return Topic{}, fmt.Errorf("no Kafka broker of kafka.brokers %v can be reached: %w", o.Brokers, err)
	}
	found, err := kafka.Topics(ctx, client, []string{topic})
	if err != nil {
		return Topic{}, err
	}
	admin := kadm.NewClient(client)
	switch t := found[topic]; {
	case t.Err == nil && partitions > 0 && t.Partitions != int(partitions):
		return Topic{}, fmt.Errorf("topic %s exists, with %d partitions instead of %d", topic, t.Partitions, partitions)
	case t.Err == nil:
	case errors.Is(t.Err, kerr.UnknownTopicOrPartition) && partitions > 0:
		if err := makeTopic(ctx, client, topic, partitions); err != nil {
			return Topic{}, err
		}
	case errors.Is(t.Err, kerr.UnknownTopicOrPartition):
		return Topic{}, fmt.Errorf("topic %s does not exist; --create N makes it with N partitions", topic)
	default:
		return Topic{}, fmt.Errorf("topic %s: %w", topic, t.Err)
	}
	return Topic{maxMessageBytes(ctx, admin, topic)}, nil
}

// makeTopic makes the topic with the cluster's default replication, and waits until its partitions have
// leaders: a record that is sent before would wait for seconds.
func makeTopic(ctx context.Context, client *kgo.Client, topic string, partitions int32) error {
	if _, err := kafka.CreateTopic(ctx, client, topic, partitions, nil); err != nil {
		return err
	}
	admin := kadm.NewClient(client)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		offsets, err := admin.ListEndOffsets(ctx, topic)
		if err == nil && offsets.Error() == nil && len(offsets[topic]) == int(partitions) {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("topic %s was made and has no leader yet: %w", topic, ctx.Err())
		case <-tick.C:
		}
	}
}

// maxMessageBytes asks for the topic's max.message.bytes. Who may write to a topic may not always read
// its configuration; then Kafka's default counts.
func maxMessageBytes(ctx context.Context, admin *kadm.Client, topic string) int32 {
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return defaultMaxMessageBytes
	}
	config, err := configs.On(topic, nil)
	if err != nil || config.Err != nil {
		return defaultMaxMessageBytes
	}
	for _, c := range config.Configs {
		if c.Key != "max.message.bytes" {
			continue
		}
		if n, err := strconv.ParseInt(c.MaybeValue(), 10, 32); err == nil && n > 2*recordOverhead {
			return int32(min(n, 64<<20)) // a line is held in memory whole
		}
	}
	return defaultMaxMessageBytes
}
