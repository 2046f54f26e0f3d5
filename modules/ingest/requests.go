package ingest

import (
	"context"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

// topicStop stops all partitions of a topic.
type topicStop struct{ topic, why string }

func (r topicStop) carryOut(_ context.Context, p *poller) { p.stopTopic(r.topic, r.why) }

// partitionStop stops a partition.
type partitionStop struct {
	at  kafka.TopicPartition
	why string
}

func (r partitionStop) carryOut(_ context.Context, p *poller) { p.stopPartition(r.at, r.why) }

// resume fetches a partition and its topic again, if they were paused.
type resume struct{ at kafka.TopicPartition }

func (r resume) carryOut(_ context.Context, p *poller) {
	if p.status.isStopped(r.at) {
		return
	}
	p.consumer.ResumeFetchTopics(r.at.Topic)
	p.consumer.ResumeFetchPartitions(map[string][]int32{r.at.Topic: {r.at.Partition}})
}

// cutSeen stops a partition whose log was seen to end before what is stored, and has the event store remember that:
// the log may grow again, and hide that records were lost.
type cutSeen struct {
	lease *lease
	end   int64
	try   int
}

func (r cutSeen) carryOut(ctx context.Context, p *poller) {
	at := r.lease.at()
	switch ours := p.leases.of(at) == r.lease; {
	case ours:
		p.stopPartition(at, truncated(at, r.lease.acked.Load(), r.end))
	case r.try > 0:
		return // admitted meanwhile, or given up
	}
	asking, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	if err := p.store.RememberCut(asking, r.lease.id, r.end); err != nil && ctx.Err() == nil {
		p.log.Warn("can't remember that a log was cut; trying again", "topic", at.Topic, "partition", at.Partition, "error", err)
		again := backoff(r.try)
		r.try++
		p.inbox.putLater(r, again)
	}
}

// reposition finds out anew where a partition goes on, and begins another lease there. It is for a lease that was
// suspended.
type reposition struct {
	lease *lease
	try   int // how often it has failed
}

func (r reposition) carryOut(ctx context.Context, p *poller) {
	at := r.lease.at()
	if p.leases.of(at) != r.lease || p.status.isStopped(at) {
		return // given up or begun anew meanwhile, or an operator is waited for
	}
	b, err := p.relocate(ctx, r.lease)
	if err != nil {
		p.status.has(troubleOffsets, err)
		if r.try%10 == 0 {
			p.log.Warn("can't find out where to go on; waiting", "topic", at.Topic, "partition", at.Partition, "try", r.try+1, "error", err)
		}
		again := backoff(r.try)
		r.try++
		p.inbox.putLater(r, again)
		return
	}
	p.status.has(troubleOffsets, nil)
	if b.offset.Recreated != (event.TopicID{}) {
		p.stopTopic(at.Topic, recreated(at.Topic, b.id.TopicID, b.offset.Recreated))
		return
	}
	if l := p.locator.grant(b); !l.ended.Load() {
		p.seekAgain(at, l.next)
		resume{at}.carryOut(ctx, p)
	}
}

// refetch fetches a partition again from where its lease stands: the client has stopped fetching it.
type refetch struct{ lease *lease }

func (r refetch) carryOut(ctx context.Context, p *poller) {
	if r.lease.ended.Load() {
		return
	}
	at := r.lease.at()
	p.seekAgain(at, r.lease.next)
	if _, resting := p.resting[at]; !resting {
		resume{at}.carryOut(ctx, p)
	}
}

// reread has the poller read a batch by itself, which the client does not read.
type reread struct {
	lease *lease
	batch *kgo.ErrDecompressTooLarge
}

func (r reread) carryOut(_ context.Context, p *poller) {
	if p.leases.of(r.lease.at()) == r.lease {
		p.large = append(p.large, r.batch)
	}
}

// takeOver has the poller read the next batch of a partition by itself, because the client failed to from that
// offset on. The client drops what it has of the partition.
type takeOver struct {
	lease *lease
	from  int64
}

func (r takeOver) carryOut(_ context.Context, p *poller) {
	at := r.lease.at()
	if p.leases.of(at) != r.lease || r.lease.ended.Load() || r.lease.next != r.from || p.status.isStopped(at) {
		return
	}
	p.consumer.PauseFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
	p.seekAgain(at, r.from)
	p.large = append(p.large, &kgo.ErrDecompressTooLarge{Topic: at.Topic, Partition: at.Partition, Offset: r.from, NextOffset: r.from + 1})
}

// seekAgain seeks also where the client believes to be at the offset already: it leaves out such an offset, even if
// it has given the partition up. Hence the way by another epoch that is none.
func (p *poller) seekAgain(at kafka.TopicPartition, offset int64) {
	p.seek(at, kgo.EpochOffset{Epoch: -2, Offset: offset})
	p.seek(at, kgo.EpochOffset{Epoch: -1, Offset: offset})
}

// seek has the client drop what it has buffered of a partition, and fetch from an offset on. It may only be called
// while rebalances are blocked.
func (p *poller) seek(at kafka.TopicPartition, to kgo.EpochOffset) {
	p.consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{at.Topic: {at.Partition: to}})
}

// relocate asks where a partition goes on: of the event store, and of Kafka whether it is there.
func (p *poller) relocate(ctx context.Context, l *lease) (begin, error) {
	ctx, cancel := context.WithTimeout(ctx, retryPartition)
	defer cancel()
	begins, err := p.locator.locate(ctx, map[string]kafka.Topic{l.id.Topic: {ID: l.topicID}}, []kafka.TopicPartition{l.at()})
	if err != nil {
		return begin{}, err
	}
	return begins[0], nil
}
