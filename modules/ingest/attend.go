package ingest

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// attend looks at what went wrong in a poll. It notes the batches that the client would not unpack.
func (p *poller) attend(ctx context.Context, fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		var batch *kgo.ErrDecompressTooLarge
		if errors.As(err, &batch) {
			p.large = append(p.large, batch)
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
}

func (p *poller) attendPartition(ctx context.Context, at kafka.TopicPartition, err error) {
	var (
		loss     *kgo.ErrDataLoss
		protocol *kerr.Error
	)
	switch {
	case p.status.isStopped(at):
	case errors.As(err, &loss):
		if l := p.leases.of(at); l != nil {
			p.stops.sawCut(l, loss.ResetTo)
		}
	case errors.Is(err, kerr.OffsetOutOfRange):
		p.outOfRange(ctx, at)
	case errors.Is(err, kerr.UnknownTopicID), errors.Is(err, kerr.UnknownTopicOrPartition):
		p.unknown(ctx, at, err)
	case errors.As(err, &protocol):
		p.rest(at, err)
	default:
		// What the client can't parse it will not parse later. What comes after it must not be taken for all there is.
		if l := p.leases.of(at); l != nil && !l.ended.Load() {
			p.log.Warn("the client can't read a batch; reading it record by record", "topic", at.Topic, "partition", at.Partition, "offset", l.next, "error", err)
			p.inbox.put(takeOver{l, l.next})
		}
	}
}

// rest pauses a partition after an error that may pass, so that the client does not spin.
func (p *poller) rest(at kafka.TopicPartition, err error) {
	if _, ok := p.resting[at]; !ok {
		p.log.Warn("partition can't be fetched; trying again", "topic", at.Topic, "partition", at.Partition, "in", retryPartition, "error", err)
	}
	p.status.has(troubleFetch, fmt.Errorf("%s/%d: %w", at.Topic, at.Partition, err))
	p.pause(at)
}

// pause leaves a partition alone for a while.
func (p *poller) pause(at kafka.TopicPartition) {
	p.resting[at] = p.now().Add(retryPartition)
	p.consumer.PauseFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
}

// unknown rests a partition whose topic the broker does not know. Where the cluster knows the topic and it is the one
// that we read, the client has kept the id of an earlier one, and has to begin anew.
func (p *poller) unknown(ctx context.Context, at kafka.TopicPartition, err error) {
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	topics, asked := kafka.Topics(asking, p.control, []string{at.Topic})
	t, l := topics[at.Topic], p.leases.of(at)
	switch {
	case asked == nil && errors.Is(t.Err, kerr.UnknownTopicOrPartition):
		p.pause(at) // it does not exist: that is no failure
	case asked == nil && t.Err == nil && l != nil && l.topicID != t.ID:
		p.stopTopic(at.Topic, recreated(at.Topic, t.ID, l.topicID))
	case asked == nil && t.Err == nil && errors.Is(err, kerr.UnknownTopicID) && p.isStale(at):
		p.again("the client has an earlier topic " + at.Topic)
	default:
		p.rest(at, err)
	}
}

// isStale reports whether a topic that exists has been unknown for longer than metadata take to spread.
func (p *poller) isStale(at kafka.TopicPartition) bool {
	since, ok := p.stale[at]
	if !ok {
		p.stale[at] = p.now()
		return false
	}
	return p.now().Sub(since) >= retryPartition
}
