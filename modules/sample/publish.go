package sample

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// Partitions is how many partitions a topic gets that the sample makes.
const Partitions = 3

// grace is how long Publish waits at its end for what it has sent.
const grace = 3 * time.Second

// Shop returns the Options of a shop that takes an order a second from now on, about nine records. Its seed is its own,
// so that its orders are new. A few records are bad, and a few are published twice.
func Shop(now time.Time) Options {
	return Options{
		Seed: uint64(now.UnixNano()), Start: now, Interval: time.Second, Live: true,
		BadShare: 0.01, RepeatShare: 0.01,
	}
}

// MakeTopics makes those of the sample's topics that do not exist.
func MakeTopics(ctx context.Context, o kafka.Options, log *slog.Logger, partitions int32) error {
	client, err := kafka.NewClient(o, "sample-admin", log, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("no Kafka broker of kafka.brokers %v can be reached: %w", o.Brokers, err)
	}
	return kafka.EnsureTopics(ctx, client, partitions, Topics()...)
}

// Stream is sample traffic on its way into a Kafka.
type Stream struct {
	*Traffic
	client *kgo.Client
}

// Open prepares to publish what a Generator of these Options makes. The topics must exist. limit ends Publish
// after so many records; 0 is no limit.
func Open(k kafka.Options, log *slog.Logger, o Options, limit int64) (*Stream, error) {
	client, err := kafka.NewClient(k, "sample", log, nil, kgo.MaxBufferedRecords(1000), kgo.RecordDeliveryTimeout(time.Minute))
	if err != nil {
		return nil, err
	}
	traffic := NewTraffic(New(o), client)
	traffic.limit = limit
	return &Stream{traffic, client}, nil
}

// Publish publishes until ctx ends or the limit is reached, and closes the connections. It must be called once.
func (s *Stream) Publish(ctx context.Context) error {
	defer s.client.Close()
	return s.Run(ctx, grace)
}
