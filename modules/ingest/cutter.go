package ingest

import (
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

// cut makes chunks of records that were polled. It copies them, so that the client can let go of its own.
func cut(l *lease, records []*kgo.Record, o Options) (chunks []*chunk) {
	c, limits := newCutter(l, o), o.recordLimits()
	for _, r := range records {
		if r.Attrs.IsControl() { // a transaction marker: an offset without a record
			c.extend(r.Offset+1, r.LeaderEpoch)
			continue
		}
		record := kafka.Limit(r, limits)
		if full := c.add(rawOf(l.id, &record), r.LeaderEpoch); full != nil {
			chunks = append(chunks, full)
		}
	}
	if last := c.end(); last != nil {
		chunks = append(chunks, last)
	}
	return chunks
}

// cutter makes chunks of records that are read under a lease, one after the other, and moves the lease on.
// No chunk is larger than a batch may be, but for a single record that is.
type cutter struct {
	lease         *lease
	records, size int64 // most of a chunk
	chunk         *chunk
}

func newCutter(l *lease, o Options) *cutter {
	return &cutter{lease: l, records: int64(min(chunkRecords, o.MaxBatchEvents)), size: min(chunkBytes, o.MaxBatchBytes)}
}

// add takes a record in. It returns the chunk before, if that is full.
func (c *cutter) add(raw event.Raw, epoch int32) (full *chunk) {
	size := rawBytes(&raw)
	if c.chunk != nil && (int64(len(c.chunk.records)) >= c.records || c.chunk.bytes+size > c.size) {
		full = c.end()
	}
	c.extend(raw.Offset+1, epoch)
	c.chunk.records = append(c.chunk.records, raw)
	c.chunk.bytes += size
	return full
}

// extend takes offsets in that hold no record, as that of a transaction marker.
func (c *cutter) extend(to int64, epoch int32) {
	if c.chunk == nil {
		c.chunk = &chunk{lease: c.lease, from: c.lease.next, ready: make(chan struct{}), records: []event.Raw{}}
	}
	c.chunk.to, c.chunk.epoch = to, epoch
	c.lease.next = to
}

// end returns the chunk that was begun; nil where there is none.
func (c *cutter) end() *chunk {
	last := c.chunk
	c.chunk = nil
	return last
}

func rawBytes(r *event.Raw) int64 {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += headerOverhead + len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}
