package ingest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// batch gathers chunks of one worker's partitions for one append. Its slices are used again and again.
type batch struct {
	chunks  []*chunk
	records int
	bytes   int64

	ranges   []store.Range
	leases   []*lease // of ranges
	events   []protect.Sealed
	rejected []event.Rejected
}

func (b *batch) add(c *chunk) {
	b.chunks = append(b.chunks, c)
	b.records += len(c.events) + len(c.rejected)
	b.bytes += c.bytes
}

// fits tells whether a chunk can still be added.
func (b *batch) fits(c *chunk, o Options) bool {
	if len(b.chunks) == 0 {
		return true
	}
	return b.records+len(c.events)+len(c.rejected) <= o.MaxBatchEvents && b.bytes+c.bytes <= o.MaxBatchBytes
}

func (b *batch) full(o Options) bool {
	return b.records >= o.MaxBatchEvents || b.bytes >= o.MaxBatchBytes
}

// build makes the store's batch of chunks, in order of partition and offset. The result is good until
// the next build.
func (b *batch) build(chunks []*chunk) (store.Batch, error) {
	b.ranges, b.leases = b.ranges[:0], b.leases[:0]
	b.forget()
	slices.SortStableFunc(chunks, func(x, y *chunk) int { return comparePartition(x.lease.id, y.lease.id) })
	for _, c := range chunks {
		if err := b.extend(c); err != nil {
			return store.Batch{}, err
		}
		b.events = append(b.events, c.events...)
		b.rejected = append(b.rejected, c.rejected...)
	}
	return store.Batch{Ranges: b.ranges, Events: b.events, Rejected: b.rejected}, nil
}

// extend lengthens the last range by the chunk, or begins a new one.
func (b *batch) extend(c *chunk) error {
	if last := len(b.ranges) - 1; last >= 0 && b.leases[last] == c.lease {
		r := &b.ranges[last]
		if r.To != c.from {
			return fmt.Errorf("%s/%d: a chunk begins at offset %d where %d was expected", r.Topic, r.Number, c.from, r.To)
		}
		r.To = c.to
		r.Absent += c.absent()
		if c.epoch >= 0 {
			r.LeaderEpoch = c.epoch
		}
		return nil
	}
	epoch := c.epoch
	if epoch < 0 {
		epoch = c.lease.epoch.Load()
	}
	b.ranges = append(b.ranges, store.Range{Partition: c.lease.id, From: c.from, To: c.to, Absent: c.absent(), LeaderEpoch: epoch})
	b.leases = append(b.leases, c.lease)
	return nil
}

// forget lets go of the records of the last build, so that an idle worker holds none.
func (b *batch) forget() {
	clear(b.events)
	clear(b.rejected)
	b.events, b.rejected = b.events[:0], b.rejected[:0]
}

// reset makes the batch empty.
func (b *batch) reset() {
	b.forget()
	clear(b.chunks)
	b.chunks, b.records, b.bytes = b.chunks[:0], 0, 0
	b.ranges, b.leases = b.ranges[:0], b.leases[:0]
}

func comparePartition(x, y store.Partition) int {
	return cmp.Or(bytes.Compare(x.TopicID[:], y.TopicID[:]), cmp.Compare(x.Number, y.Number))
}
