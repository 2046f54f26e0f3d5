package ingest

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

// missingTopicPatience is how long an assigned topic may be unknown to the cluster before the other
// topics go on without it: metadata lag behind after a topic was made.
const missingTopicPatience = 10 * time.Second

// begin is where an assigned partition begins.
type begin struct {
	id     store.Partition
	offset store.Offset
	bounds kafka.Bounds
}

// adjustOffsets replaces all offsets of an assignment by PostgreSQL's; Kafka's are for lag tools. It
// waits while PostgreSQL or Kafka is away, as long as the assignment stands: an error would make the
// group rebalance again and again. A partition that is left out of the answer is not read.
func (p *pipeline) adjustOffsets(ctx context.Context, assigned map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	p.leases.assign(partitionsOf(assigned))
	p.strangers.lookFirst(ctx)
	started := p.now()
	for try := 0; ; try++ {
		begins, err := p.resolve(ctx, assigned, p.now().Sub(started) > missingTopicPatience)
		if err == nil {
			if lasting := p.status.has(troubleOffsets, nil); lasting > 0 {
				p.log.Info("found out where to begin", "failedFor", lasting.Round(time.Millisecond))
			}
			return p.grantAll(begins), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		p.status.has(troubleOffsets, err)
		if try%10 == 0 {
			p.log.Error("can't find out where to begin; waiting", "try", try+1, "error", err)
		}
		if !sleep(ctx, backoff(try)) {
			return nil, ctx.Err()
		}
	}
}

// resolve finds out for each partition which topic it really is, where its log lies, and where the
// database goes on. Topics that can't be read are stopped and left out.
func (p *pipeline) resolve(ctx context.Context, assigned map[string]map[int32]kgo.Offset, impatient bool) ([]begin, error) {
	names := make([]string, 0, len(assigned))
	for topic := range assigned {
		names = append(names, topic)
	}
	topics, err := kafka.Topics(ctx, p.control, names)
	if err != nil {
		return nil, err
	}
	var of []kafka.TopicPartition
	for _, at := range partitionsOf(assigned) {
		err := topics[at.Topic].Err
		switch {
		case err == nil:
			of = append(of, at)
		case impatient && errors.Is(err, kerr.UnknownTopicOrPartition):
			p.leftOut.add(at.Topic) // until the cluster knows it
		default:
			return nil, fmt.Errorf("topic %s: %w", at.Topic, err)
		}
	}
	return p.locate(ctx, topics, of)
}

func partitionsOf(assigned map[string]map[int32]kgo.Offset) []kafka.TopicPartition {
	var of []kafka.TopicPartition
	for topic, partitions := range assigned {
		for number := range partitions {
			of = append(of, kafka.TopicPartition{Topic: topic, Partition: number})
		}
	}
	return of
}

func (p *pipeline) locate(ctx context.Context, topics map[string]kafka.Topic, of []kafka.TopicPartition) ([]begin, error) {
	bounds, err := kafka.LogBounds(ctx, p.control, of)
	if err != nil {
		return nil, err
	}
	starts := make([]store.PartitionStart, 0, len(of))
	for _, at := range of {
		id := store.Partition{TopicID: topics[at.Topic].ID, Topic: at.Topic, Number: at.Partition}
		starts = append(starts, store.PartitionStart{Partition: id, Start: bounds[at].Start})
	}
	offsets, err := p.store.EnsureOffsets(ctx, starts)
	if err != nil {
		return nil, err
	}
	begins := make([]begin, 0, len(of))
	for i, s := range starts {
		offset, ok := offsets[s.Partition]
		if !ok {
			return nil, fmt.Errorf("the event store did not answer for %s/%d", s.Topic, s.Number)
		}
		begins = append(begins, begin{id: s.Partition, offset: offset, bounds: bounds[of[i]]})
	}
	return begins, nil
}

// grantAll begins the leases. It runs before the client fetches anything of these partitions, and maybe
// before the pipeline has learnt its client: what is to be done with that is left to the poller. A partition that
// can't be read is assigned all the same, since the client fetches no other later; its records are dropped.
func (p *pipeline) grantAll(begins []begin) map[string]map[int32]kgo.Offset {
	offsets := map[string]map[int32]kgo.Offset{}
	for _, b := range begins {
		at := kafka.TopicPartition{Topic: b.id.Topic, Partition: b.id.Number}
		if b.offset.Recreated != (event.TopicID{}) {
			p.inbox.put(topicStop{topic: at.Topic, why: recreated(at.Topic, b.id.TopicID, b.offset.Recreated)})
			continue
		}
		p.reopen(at)
		l := p.grant(b)
		if offsets[at.Topic] == nil {
			offsets[at.Topic] = map[int32]kgo.Offset{}
		}
		begin := kgo.NewOffset().At(l.next)
		if !l.ended.Load() {
			begin = begin.WithEpoch(b.offset.LeaderEpoch)
		}
		offsets[at.Topic][at.Partition] = begin
	}
	return offsets
}

// grant begins the lease of a partition. The lease is suspended where offsets of the partition are lost, and the
// partition is to be stopped then.
func (p *pipeline) grant(b begin) *lease {
	p.metrics.seeTopic(b.id.Topic)
	l := p.leases.grant(b.id, b.offset.Position)
	at := l.at()
	p.metrics.setLag(at, b.bounds.End, l.next)
	switch {
	case b.offset.CutEnd >= 0:
		p.sawCut(l, b.offset.CutEnd)
	case l.next > b.bounds.End:
		p.sawCut(l, b.bounds.End)
	case l.next < b.bounds.Start:
		p.leases.suspend(l)
		p.inbox.put(partitionStop{at: at, why: deletedHead(at, l.next, b.bounds.Start)})
	default:
		p.log.Info("reading partition", "topic", at.Topic, "partition", at.Partition, "offset", l.next, "logStart", b.bounds.Start, "logEnd", b.bounds.End)
	}
	return l
}

// reopen undoes a stop of an earlier assignment.
func (p *pipeline) reopen(at kafka.TopicPartition) {
	p.restart(at)
	p.restart(kafka.TopicPartition{Topic: at.Topic, Partition: wholeTopic})
	p.inbox.put(resume{at})
}
