package ingest

import (
	"context"
	"fmt"
	"slices"
	"time"

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
		p.unpacker.Release()
		// Gaps go first: what was polled may lie behind one.
		chunks := append(p.obey(ctx), taken...)
		p.resume()
		p.consumer.AllowRebalance()
		large := p.attend(ctx, fetches)
		for _, c := range chunks {
			if p.dispatch(appending, c) != nil {
				return
			}
		}
		for _, batch := range large {
			p.readLarge(ctx, appending, batch)
		}
	}
}

func (p *poller) poll(ctx context.Context) kgo.Fetches {
	ctx, cancel := context.WithTimeout(ctx, pollWait)
	defer cancel()
	p.mu.Lock()
	p.wake = cancel
	now := p.now()
	waiting := slices.ContainsFunc(p.orders, func(o order) bool { return o.due(now) })
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
		p.request(order{stopTopic: at.Topic, why: recreated(at.Topic, id, l.id.TopicID)})
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
			p.status.has(troubleOffsets, err)
			if o.try%10 == 0 {
				p.log.Warn("can't find out where to go on; waiting", "topic", at.Topic, "partition", at.Partition, "try", o.try+1, "error", err)
			}
			o.notBefore = p.now().Add(backoff(o.try))
			o.try++
			p.request(o)
			return
		}
		p.status.has(troubleOffsets, nil)
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
