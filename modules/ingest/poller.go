package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

const (
	// pollRecords bounds what one poll takes out of the client, and so what waits for the budget.
	pollRecords = 2000
	// pollWait is how long a poll waits, so that paused partitions are looked at now and then.
	pollWait = time.Second
	// retryPartition is how long a partition rests after an error that may pass.
	retryPartition = 5 * time.Second
)

// poller reads the consumer. Between a poll and AllowRebalance no partition can be revoked, so that
// each record finds the lease that it was read under.
type poller struct {
	*pipeline
	resting map[kafka.TopicPartition]time.Time // paused until then, after an error that may pass
}

// It polls until ctx ends; what has been polled is still handed on then, until appending ends.
func (p *poller) run(ctx, appending context.Context) {
	for ctx.Err() == nil {
		fetches := p.poll(ctx)
		taken := p.take(fetches)
		// Gaps go first: what was polled may lie behind one.
		chunks := append(p.obey(ctx), taken...)
		p.resume()
		p.consumer.AllowRebalance()
		p.attend(ctx, fetches)
		for _, c := range chunks {
			if p.dispatch(appending, c) != nil {
				return
			}
		}
	}
}

func (p *poller) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	p.mu.Lock()
	p.wake = cancel
	waiting := len(p.orders) > 0
	p.mu.Unlock()
	if waiting {
		cancel()
	}
	fetches := p.consumer.PollRecords(ctx, pollRecords)
	p.mu.Lock()
	p.wake = nil
	p.mu.Unlock()
	return fetches
}

// take makes chunks of what was polled. Records of a partition that is not held, or stopped, are
// dropped: they are not committed, and will be read again by whoever holds it.
func (p *poller) take(fetches kgo.Fetches) []*chunk {
	var chunks []*chunk
	for _, fetch := range fetches {
		for i := range fetch.Topics {
			topic := &fetch.Topics[i]
			for j := range topic.Partitions {
				if f := &topic.Partitions[j]; len(f.Records) > 0 {
					chunks = append(chunks, p.takePartition(topic, f)...)
				}
			}
		}
	}
	return chunks
}

func (p *poller) takePartition(topic *kgo.FetchTopic, f *kgo.FetchPartition) []*chunk {
	at := kafka.TopicPartition{Topic: topic.Topic, Partition: f.Partition}
	l := p.leases.of(at)
	if l == nil || l.ended.Load() || p.status.isStopped(at) {
		return nil
	}
	// Brokers before 3.1 do not say which topic it was: there the id is [16]byte{}.
	if id := event.TopicID(topic.TopicID); id != (event.TopicID{}) && id != l.id.TopicID {
		p.request(order{stopTopic: at.Topic, why: recreated(id, l.id.TopicID)})
		return nil
	}
	if first := f.Records[0].Offset; first < l.next {
		p.fail(fmt.Errorf("partition %s/%d went back to offset %d after %d had been read: its log was cut off and written anew, so Kafka has lost records",
			at.Topic, at.Partition, first, l.next-1))
		return nil
	}
	return cut(l, f.Records, p.options)
}

// obey carries out what workers and the watch have asked for. What it answers is to be appended too.
func (p *poller) obey(ctx context.Context) (chunks []*chunk) {
	for _, o := range p.takeOrders() {
		switch {
		case o.stopTopic != "":
			p.stopTopic(o.stopTopic, o.why)
		case o.resume.Topic != "":
			p.consumer.ResumeFetchTopics(o.resume.Topic)
			p.consumer.ResumeFetchPartitions(map[string][]int32{o.resume.Topic: {o.resume.Partition}})
		case o.gap != nil:
			chunks = append(chunks, o.gap)
		case o.seek != nil:
			if !o.seek.ended.Load() {
				p.seek(o.seek.at(), o.at)
			}
		case o.reposition != nil:
			p.reposition(ctx, o)
		}
	}
	return chunks
}

// reposition goes on with a partition at another offset, if it has not been given up meanwhile.
func (p *poller) reposition(ctx context.Context, o order) {
	at := o.reposition.at()
	if p.leases.of(at) != o.reposition || p.status.isStopped(at) {
		return
	}
	if o.at < 0 {
		offset, err := p.forgotten(ctx, o.reposition)
		if err != nil {
			p.log.Warn("can't find out where to go on", "topic", at.Topic, "partition", at.Partition, "error", err)
			p.request(o) // again after the next poll
			return
		}
		o.at = offset
	}
	p.leases.grant(o.reposition.id, o.at, -1)
	p.seek(at, o.at)
}

// seek has the client drop what it has buffered of a partition, and fetch from an offset on. It may only
// be called while rebalances are blocked.
func (p *poller) seek(at kafka.TopicPartition, offset int64) {
	p.consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{at.Topic: {at.Partition: {Epoch: -1, Offset: offset}}})
}

// resume fetches again what has rested long enough.
func (p *poller) resume() {
	for at, until := range p.resting {
		if p.now().Before(until) {
			continue
		}
		delete(p.resting, at)
		if !p.status.isStopped(at) {
			p.consumer.ResumeFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
		}
	}
	if len(p.resting) == 0 {
		p.status.has(troubleFetch, nil)
	}
}

// attend looks at what went wrong in a poll.
func (p *poller) attend(ctx context.Context, fetches kgo.Fetches) {
	fetches.EachError(func(topic string, partition int32, err error) {
		if ctx.Err() != nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, kgo.ErrClientClosed) {
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
