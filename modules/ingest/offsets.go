package ingest

import (
	"context"
	"encoding/hex"
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
			p.request(order{stopTopic: at.Topic, why: recreated(b.id.TopicID, b.offset.Recreated)})
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

// acceptLoss goes on behind what Kafka has deleted, and has the gap accounted for.
func (p *pipeline) acceptLoss(l *lease, start int64) {
	p.log.Error("records were deleted before they were stored; going on behind them, as ingest.accept_data_loss says",
		"topic", l.id.Topic, "partition", l.id.Number, "nextOffset", l.next, "logStart", start, "lost", start-l.next)
	if c := l.skipTo(start); c != nil {
		p.request(order{gap: c})
	}
}

// outOfRange finds out what became of a partition whose next offset Kafka does not have.
func (p *poller) outOfRange(ctx context.Context, at kafka.TopicPartition) {
	l := p.leases.of(at)
	if l == nil || l.ended.Load() {
		return
	}
	asking, cancel := context.WithTimeout(ctx, retryPartition)
	defer cancel()
	bounds, err := kafka.LogBounds(asking, p.control, []kafka.TopicPartition{at})
	if err != nil {
		p.rest(at, fmt.Errorf("offset %d is out of range: %w", l.next, err))
		return
	}
	switch start := bounds[at].Start; {
	case l.next >= start:
		// Beyond the end, or within again: written anew since the fetch was refused.
		p.fail(truncated(at, l.next, bounds[at].End))
	case !p.options.AcceptDataLoss:
		p.fail(deletedHead(at, l.next, start))
	default:
		p.acceptLoss(l, start)
		p.request(order{seek: l, at: start})
	}
}

// forgotten finds out where to go on in a partition of which the database has no row: it is an older
// one than it was at assignment.
func (p *poller) forgotten(ctx context.Context, l *lease) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, retryPartition)
	defer cancel()
	at := l.at()
	begins, err := p.locate(ctx, map[string]kafka.Topic{at.Topic: {ID: l.id.TopicID}}, []kafka.TopicPartition{at})
	if err != nil {
		return 0, err
	}
	if other := begins[0].offset.Recreated; other != (event.TopicID{}) {
		p.stopTopic(at.Topic, recreated(l.id.TopicID, other))
		return 0, errors.New("the topic was made again")
	}
	return begins[0].offset.NextOffset, nil
}

func recreated(now, admitted event.TopicID) string {
	return fmt.Sprintf("it was deleted and made again: its id is %s now, and %s in the event store; its offsets mean other records now, until an operator admits the new id",
		hex.EncodeToString(now[:]), hex.EncodeToString(admitted[:]))
}

func deletedHead(at kafka.TopicPartition, next, start int64) error {
	return fmt.Errorf("partition %s/%d: offset %d is to be stored next, but Kafka's log begins at %d: %d offsets were deleted before they were stored; ingest.accept_data_loss goes on and accounts for them as absent",
		at.Topic, at.Partition, next, start, start-next)
}

func truncated(at kafka.TopicPartition, next, end int64) error {
	return fmt.Errorf("partition %s/%d: offset %d is to be stored next, but Kafka's log was cut off and goes to %d: records that are stored were lost in Kafka, and new ones may have taken their offsets; ingest.accept_data_loss does not help here",
		at.Topic, at.Partition, next, end)
}
