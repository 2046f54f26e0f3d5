package ingest

import (
	"context"
	"log/slog"
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
	options    Options
	consumer   *kgo.Client
	unpacker   *kafka.Unpacker
	control    *kgo.Client
	store      Store
	locator    *locator
	leases     *leases
	stops      *stops
	dispatcher *dispatcher
	strangers  *strangers
	inbox      *inbox
	status     *status
	now        func() time.Time
	log        *slog.Logger
	again      func(why string)

	resting map[kafka.TopicPartition]time.Time // paused until then, after an error that may pass
	stale   map[kafka.TopicPartition]time.Time // since when the client has another topic's id
	large   []*kgo.ErrDecompressTooLarge       // batches to be read by readLarge
}

// It polls until ctx ends; what has been polled is still handed on then, until appending ends.
func (p *poller) run(ctx, appending context.Context) {
	slept := false
	for ctx.Err() == nil {
		if p.leases.areHalted() {
			p.idle(ctx)
			slept = true
			continue
		}
		fetches := p.poll(ctx)
		chunks := p.take(fetches)
		p.unpacker.Release()
		for _, r := range p.inbox.take() {
			r.carryOut(ctx, p)
		}
		p.resume()
		p.consumer.AllowRebalance()
		if !slept { // else what went wrong did so a while ago, and every partition begins anew
			p.attend(ctx, fetches)
		}
		slept = false
		for _, c := range chunks {
			if p.dispatcher.dispatch(appending, c) != nil {
				return
			}
		}
		large := p.large
		p.large = nil
		for _, batch := range large {
			p.readLarge(ctx, appending, batch)
		}
	}
}

func (p *poller) poll(ctx context.Context) kgo.Fetches {
	ctx, done := p.inbox.waitable(ctx, pollWait)
	defer done()
	return p.consumer.PollRecords(ctx, pollRecords)
}

// idle passes the time of a poll without one, while nothing may be read. What is asked of the poller waits.
func (p *poller) idle(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-p.strangers.left():
	}
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
	if id := event.TopicID(topic.TopicID); id != (event.TopicID{}) && id != l.topicID {
		p.inbox.put(topicStop{topic: at.Topic, why: recreated(at.Topic, id, l.topicID)})
		return nil
	}
	if first := f.Records[0].Offset; first < l.next {
		p.stops.sawCut(l, first) // and was written anew
		return nil
	}
	return cut(l, f.Records, p.options)
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
