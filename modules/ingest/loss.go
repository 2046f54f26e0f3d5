package ingest

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

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
		p.stopTopic(at.Topic, recreated(at.Topic, l.id.TopicID, other))
		return 0, errors.New("the topic was made again")
	}
	return begins[0].offset.NextOffset, nil
}

func recreated(topic string, now, admitted event.TopicID) string {
	return fmt.Sprintf("it was deleted and made again: its id is %s now, and %s in the event store, so its offsets mean other records; to read it from its start, run 'audittrail topics admit %s', then restart ingest",
		hex.EncodeToString(now[:]), hex.EncodeToString(admitted[:]), topic)
}

func deletedHead(at kafka.TopicPartition, next, start int64) error {
	return fmt.Errorf("partition %s/%d: offset %d is to be stored next, but Kafka's log begins at %d: %d offsets were deleted before they were stored; ingest.accept_data_loss goes on and accounts for them as absent",
		at.Topic, at.Partition, next, start, start-next)
}

func truncated(at kafka.TopicPartition, next, end int64) error {
	return fmt.Errorf("partition %s/%d: offset %d is to be stored next, but Kafka's log was cut off and goes to %d: records that are stored were lost in Kafka, and new ones may have taken their offsets; ingest.accept_data_loss does not help here",
		at.Topic, at.Partition, next, end)
}

func large(at kafka.TopicPartition, next, after int64, err error) string {
	return fmt.Sprintf("offset %d can't be read: %v; to go on behind the batch, run 'audittrail topics admit %s --partition %d --from %d --reason ...'",
		next, err, at.Topic, at.Partition, after)
}
