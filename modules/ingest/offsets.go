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
			p.request(order{stopTopic: at.Topic, why: "the cluster does not know it"})
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
// before the pipeline has learnt its client: what is to be done with that is left to the poller.
func (p *pipeline) grantAll(begins []begin) map[string]map[int32]kgo.Offset {
	offsets := map[string]map[int32]kgo.Offset{}
	for _, b := range begins {
		at := kafka.TopicPartition{Topic: b.id.Topic, Partition: b.id.Number}
		if b.offset.Recreated != (event.TopicID{}) {
			p.request(order{stopTopic: at.Topic, why: recreated(at.Topic, b.id.TopicID, b.offset.Recreated)})
			continue
		}
		p.metrics.seeTopic(at.Topic)
		next := b.offset.NextOffset
		if next > b.bounds.End {
			p.fail(truncated(at, next, b.bounds.End))
			continue
		}
		if next < b.bounds.Start && !p.options.AcceptDataLoss {
			p.fail(deletedHead(at, next, b.bounds.Start))
			continue
		}
		p.reopen(at)
		l := p.leases.grant(b.id, next, b.offset.LeaderEpoch)
		p.metrics.setLag(l, b.bounds.End)
		p.log.Info("reading partition", "topic", at.Topic, "partition", at.Partition, "offset", next, "logStart", b.bounds.Start, "logEnd", b.bounds.End)
		if offsets[at.Topic] == nil {
			offsets[at.Topic] = map[int32]kgo.Offset{}
		}
		begin := kgo.NewOffset().At(next).WithEpoch(b.offset.LeaderEpoch)
		if next < b.bounds.Start {
			begin = kgo.NewOffset().At(b.bounds.Start)
			p.acceptLoss(l, b.bounds.Start)
		}
		offsets[at.Topic][at.Partition] = begin
	}
	return offsets
}

// reopen undoes a stop of an earlier assignment.
func (p *pipeline) reopen(at kafka.TopicPartition) {
	p.status.restart(at)
	p.status.restart(kafka.TopicPartition{Topic: at.Topic, Partition: wholeTopic})
	p.request(order{resume: at})
}
