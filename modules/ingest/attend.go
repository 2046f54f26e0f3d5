package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// attend looks at what went wrong in a poll. It returns the batches that the client would not unpack.
func (p *poller) attend(ctx context.Context, fetches kgo.Fetches) (large []*kgo.ErrDecompressTooLarge) {
	fetches.EachError(func(topic string, partition int32, err error) {
		var batch *kgo.ErrDecompressTooLarge
		if errors.As(err, &batch) {
			large = append(large, batch)
			return
		}
		if errors.Is(err, kafka.ErrNoRoom) || ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed) {
			return
		}
		var session *kgo.ErrGroupSession
		if errors.As(err, &session) {
			p.status.has(troubleGroup, session.Err)
			p.log.Warn("left the consumer group, and will join again", "error", session.Err)
			return
		}
		if topic == "" {
			p.log.Warn("poll failed", "error", err)
			return
		}
		p.attendPartition(ctx, kafka.TopicPartition{Topic: topic, Partition: partition}, err)
	})
	return large
}

func (p *poller) attendPartition(ctx context.Context, at kafka.TopicPartition, err error) {
	var (
		loss     *kgo.ErrDataLoss
		protocol *kerr.Error
	)
	switch {
	case p.status.isStopped(at):
	case errors.As(err, &loss):
		p.fail(truncated(at, loss.ConsumedTo, loss.ResetTo))
	case errors.Is(err, kerr.OffsetOutOfRange):
		p.outOfRange(ctx, at)
	case errors.Is(err, kerr.UnknownTopicID):
		p.rest(at, err)
		p.identify(ctx, at.Topic)
	case errors.As(err, &protocol):
		p.rest(at, err)
	default:
		// What can't be parsed now will not be parsed later; what comes after it must not be taken
		// for all there is.
		p.stopPartition(at, "its log can't be read: "+err.Error())
	}
}

// rest pauses a partition after an error that may pass, so that the client does not spin.
func (p *poller) rest(at kafka.TopicPartition, err error) {
	if _, ok := p.resting[at]; !ok {
		p.log.Warn("partition can't be fetched; trying again", "topic", at.Topic, "partition", at.Partition, "in", retryPartition, "error", err)
	}
	p.status.has(troubleFetch, fmt.Errorf("%s/%d: %w", at.Topic, at.Partition, err))
	p.resting[at] = p.now().Add(retryPartition)
	p.consumer.PauseFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
}

// stopTopic stops all partitions of a topic for good, and says so.
func (p *poller) stopTopic(topic, why string) {
	at := kafka.TopicPartition{Topic: topic, Partition: wholeTopic}
	if !p.status.stop(at, why) {
		return
	}
	p.log.Error("topic is stopped; the others go on", "topic", topic, "reason", why)
	p.consumer.PauseFetchTopics(topic)
	for _, l := range p.leases.all() {
		if l.id.Topic == topic {
			p.leases.suspend(l)
		}
	}
}

// stopPartition stops one partition for as long as it stays assigned, and says so.
func (p *poller) stopPartition(at kafka.TopicPartition, why string) {
	if !p.status.stop(at, why) {
		return
	}
	p.log.Error("partition is stopped; the others go on", "topic", at.Topic, "partition", at.Partition, "reason", why)
	p.consumer.PauseFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
	if l := p.leases.of(at); l != nil {
		p.leases.suspend(l)
	}
}
