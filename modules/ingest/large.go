package ingest

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// errLeaseEnded ends the reading of a large batch.
var errLeaseEnded = errors.New("the partition was given up")

// readLarge reads a batch that the client does not read, record by record, each chunk within the budget: because it
// takes more than kafka.MaxUnpackedBatch, and memory has to stay bounded whatever it unpacks to, or because something
// in it is malformed. The other partitions wait meanwhile.
//
// The client has stopped fetching the partition. It goes on behind the batch, or, where the batch could
// not be fetched, with the batch once more.
func (p *poller) readLarge(ctx, appending context.Context, batch *kgo.ErrDecompressTooLarge) {
	at := kafka.TopicPartition{Topic: batch.Topic, Partition: batch.Partition}
	l := p.leases.of(at)
	if l == nil || l.ended.Load() || p.status.isStopped(at) {
		return
	}
	behind, err := p.dispatchLarge(ctx, appending, l, max(l.next, batch.Offset))
	switch {
	case err == nil:
	case l.ended.Load() || ctx.Err() != nil || appending.Err() != nil:
		return
	case errors.Is(err, kafka.ErrUnpackable) && l.acked.Load() == l.next:
		p.stopPartition(at, unreadable(at, l.next, max(behind, batch.NextOffset), err))
		return
	case errors.Is(err, kafka.ErrUnpackable):
		// What was read before the damage is still to be stored: the command that passes the batch would pass it too.
		p.inbox.putLater(reread{l, batch}, pollWait)
		return
	default:
		p.rest(at, err)
	}
	p.inbox.put(refetch{l})
}

// dispatchLarge fetches the batch that holds an offset and dispatches its records from there on. behind is the offset
// behind the batch, as far as that is known.
func (p *poller) dispatchLarge(ctx, appending context.Context, l *lease, offset int64) (behind int64, err error) {
	fetching, cancel := context.WithTimeout(ctx, retryPartition)
	defer cancel()
	behind = offset + 1
	batch, err := kafka.FetchBatch(fetching, p.control, l.topicID, l.at(), offset)
	if batch != nil {
		behind = max(behind, batch.Next)
	}
	if err != nil {
		return behind, err
	}
	c := newCutter(l, p.options)
	if !batch.Aborted && !batch.Control {
		err = batch.Each(l.next, p.options.recordLimits(), func(r kafka.Record) error {
			if full := c.add(rawOf(l.id, &r), batch.LeaderEpoch); full != nil {
				return p.dispatchUnder(appending, full)
			}
			return nil
		})
	}
	if err == nil && batch.Next > l.next {
		c.extend(batch.Next, batch.LeaderEpoch) // compacted away, aborted, or markers
	}
	if last := c.end(); last != nil {
		err = errors.Join(err, p.dispatchUnder(appending, last))
	}
	return behind, err
}

// dispatchUnder dispatches a chunk as long as its lease stands.
func (p *poller) dispatchUnder(appending context.Context, c *chunk) error {
	if c.lease.ended.Load() {
		return errLeaseEnded
	}
	return p.dispatcher.dispatch(appending, c)
}
