package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
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

// locator finds out where partitions begin, and begins their leases.
type locator struct {
	control   *kgo.Client
	store     Store
	leases    *leases
	stops     *stops
	strangers *strangers
	inbox     *inbox
	leftOut   *leftOut
	status    *status
	metrics   *metrics
	now       func() time.Time
	log       *slog.Logger
}

// begin is where an assigned partition begins.
type begin struct {
	id     store.Partition
	offset store.Offset
	bounds kafka.Bounds
}

// adjustOffsets replaces all offsets of an assignment by PostgreSQL's; Kafka's are for lag tools. It
// waits while PostgreSQL or Kafka is away, as long as the assignment stands: an error would make the
// group rebalance again and again. A partition that is left out of the answer is not read.
func (o *locator) adjustOffsets(ctx context.Context, assigned map[string]map[int32]kgo.Offset) (map[string]map[int32]kgo.Offset, error) {
	o.leases.assign(partitionsOf(assigned))
	o.strangers.lookFirst(ctx)
	started := o.now()
	for try := 0; ; try++ {
		begins, err := o.resolve(ctx, assigned, o.now().Sub(started) > missingTopicPatience)
		if err == nil {
			if lasting := o.status.has(troubleOffsets, nil); lasting > 0 {
				o.log.Info("found out where to begin", "failedFor", lasting.Round(time.Millisecond))
			}
			return o.grantAll(begins), nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		o.status.has(troubleOffsets, err)
		if try%10 == 0 {
			o.log.Error("can't find out where to begin; waiting", "try", try+1, "error", err)
		}
		if !sleep(ctx, backoff(try)) {
			return nil, ctx.Err()
		}
	}
}

// resolve finds out for each partition which topic it really is, where its log lies, and where the
// database goes on. Topics that can't be read are stopped and left out.
func (o *locator) resolve(ctx context.Context, assigned map[string]map[int32]kgo.Offset, impatient bool) ([]begin, error) {
	names := make([]string, 0, len(assigned))
	for topic := range assigned {
		names = append(names, topic)
	}
	topics, err := kafka.Topics(ctx, o.control, names)
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
			o.leftOut.add(at.Topic) // until the cluster knows it
		default:
			return nil, fmt.Errorf("topic %s: %w", at.Topic, err)
		}
	}
	return o.locate(ctx, topics, of)
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

func (o *locator) locate(ctx context.Context, topics map[string]kafka.Topic, of []kafka.TopicPartition) ([]begin, error) {
	bounds, err := kafka.LogBounds(ctx, o.control, of)
	if err != nil {
		return nil, err
	}
	starts := make([]store.PartitionStart, 0, len(of))
	for _, at := range of {
		id := store.Partition{TopicID: topics[at.Topic].ID, Topic: at.Topic, Number: at.Partition}
		starts = append(starts, store.PartitionStart{Partition: id, Start: bounds[at].Start})
	}
	offsets, err := o.store.EnsureOffsets(ctx, starts)
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
func (o *locator) grantAll(begins []begin) map[string]map[int32]kgo.Offset {
	offsets := map[string]map[int32]kgo.Offset{}
	for _, b := range begins {
		at := kafka.TopicPartition{Topic: b.id.Topic, Partition: b.id.Number}
		if b.offset.Recreated != (event.TopicID{}) {
			o.inbox.put(topicStop{topic: at.Topic, why: recreated(at.Topic, b.id.TopicID, b.offset.Recreated)})
			continue
		}
		o.reopen(at)
		l := o.grant(b)
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
func (o *locator) grant(b begin) *lease {
	o.metrics.seeTopic(b.id.Topic)
	l := o.leases.grant(b.id, b.offset.Position)
	at := l.at()
	o.metrics.setLag(at, b.bounds.End, l.next)
	switch {
	case b.offset.CutEnd >= 0:
		o.stops.sawCut(l, b.offset.CutEnd)
	case l.next > b.bounds.End:
		o.stops.sawCut(l, b.bounds.End)
	case l.next < b.bounds.Start:
		o.leases.suspend(l)
		o.inbox.put(partitionStop{at: at, why: deletedHead(at, l.next, b.bounds.Start)})
	default:
		o.log.Info("reading partition", "topic", at.Topic, "partition", at.Partition, "offset", l.next, "logStart", b.bounds.Start, "logEnd", b.bounds.End)
	}
	return l
}

// reopen undoes a stop of an earlier assignment.
func (o *locator) reopen(at kafka.TopicPartition) {
	o.stops.restart(at)
	o.stops.restart(kafka.TopicPartition{Topic: at.Topic, Partition: wholeTopic})
	o.inbox.put(resume{at})
}
