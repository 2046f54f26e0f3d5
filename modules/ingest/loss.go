package ingest

import (
	"context"
	"encoding/hex"
	"fmt"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

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
	if start := bounds[at].Start; l.next < start {
		p.stopPartition(at, deletedHead(at, l.next, start))
		return
	}
	// Beyond the end, or within again: written anew since the fetch was refused.
	p.stops.sawCut(l, bounds[at].End)
}

func recreated(topic string, now, admitted event.TopicID) string {
	return fmt.Sprintf("it was deleted and made again: its id is %s now, and %s in the event store, so its offsets mean other records; to read it from its start, run 'audittrail topics admit %s'",
		hex.EncodeToString(now[:]), hex.EncodeToString(admitted[:]), topic)
}

func deletedHead(at kafka.TopicPartition, next, start int64) string {
	return fmt.Sprintf("offset %d is to be stored next, but Kafka's log begins at %d: %d offsets were deleted before they were stored; to go on behind them, run %s",
		next, start, start-next, admitCommand(at, start))
}

func truncated(at kafka.TopicPartition, next, end int64) string {
	return fmt.Sprintf("offset %d is to be stored next, but Kafka's log was cut off and went to %d: records that are stored were lost in Kafka, and new ones may have taken their offsets; to read the new ones from there, run %s (ids that are stored already count as duplicates)",
		next, end, admitCommand(at, end))
}

// admitCommand returns the command by which a partition goes on at an offset.
func admitCommand(at kafka.TopicPartition, from int64) string {
	return fmt.Sprintf("'audittrail topics admit %s --partition %d --from %d --reason …'", at.Topic, at.Partition, from)
}

func unreadable(at kafka.TopicPartition, next, after int64, err error) string {
	return fmt.Sprintf("offset %d can't be read: %v; to go on behind the batch, run %s", next, err, admitCommand(at, after))
}
