package dev

import (
	"context"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/sample"
	"audittrail/platform/devstack"
	"audittrail/platform/kafka"
)

// The sample's pace: an order a second is about nine events a second.
const (
	sampleInterval    = time.Second
	sampleBadShare    = 0.01
	sampleRepeatShare = 0.01
	sampleGrace       = 3 * time.Second // to deliver what is under way at the end
)

// makeTopics makes the sample's topics, so that ingest finds them at once.
func (s *stack) makeTopics(ctx context.Context) error {
	if !s.Sample {
		return nil
	}
	client, err := kafka.NewClient(s.Config.Kafka, "dev", s.log, nil)
	if err != nil {
		return err
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	if err := client.Ping(ctx); err != nil {
		return fmt.Errorf("no Kafka broker of kafka.brokers %v can be reached: %w", s.Config.Kafka.Brokers, err)
	}
	return devstack.EnsureTopics(ctx, client, partitions, sample.Topics()...)
}

// traffic publishes sample orders until ctx ends. Each run has a seed of its own: its orders are new.
func (s *stack) traffic(ctx context.Context) error {
	client, err := kafka.NewClient(s.Config.Kafka, "sample", s.log, nil, kgo.MaxBufferedRecords(1000), kgo.RecordDeliveryTimeout(time.Minute))
	if err != nil {
		return err
	}
	defer client.Close()
	now := time.Now()
	orders := sample.New(sample.Options{
		Seed: uint64(now.UnixNano()), Start: now, Interval: sampleInterval, Live: true,
		BadShare: sampleBadShare, RepeatShare: sampleRepeatShare,
	})
	traffic := sample.NewTraffic(orders, client)
	err = traffic.Run(ctx, sampleGrace)
	if failed := traffic.Failed(); failed > 0 {
		s.log.WarnContext(ctx, "some of the sample's records could not be published", "failed", failed, "published", traffic.Published())
	}
	return err
}
