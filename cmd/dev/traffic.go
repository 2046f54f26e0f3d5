package dev

import (
	"context"
	"time"

	"audittrail/modules/sample"
)

// makeTopics makes the sample's topics, so that ingest finds them at once.
func (s *stack) makeTopics(ctx context.Context) error {
	if !s.Sample {
		return nil
	}
	return sample.MakeTopics(ctx, s.Config.Kafka, s.log, sample.Partitions)
}

// traffic publishes sample orders until ctx ends.
func (s *stack) traffic(ctx context.Context) error {
	stream, err := sample.Open(s.Config.Kafka, s.log, sample.Shop(time.Now()), 0)
	if err != nil {
		return err
	}
	err = stream.Publish(ctx)
	if failed := stream.Failed(); failed > 0 {
		s.log.WarnContext(ctx, "some of the sample's records could not be published", "failed", failed, "published", stream.Published())
	}
	return err
}
