package ingest

import (
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// chunk is a run of offsets of one partition, read under one lease. The poller makes it, one decoder
// fills in events and rejected and closes ready, the partition's worker appends it.
type chunk struct {
	lease    *lease
	from, to int64 // every offset of [from, to); from is the to of the chunk before
	epoch    int32 // leader epoch of the last record; -1 where there is none
	bytes    int64 // of keys, values and headers
	taken    int64 // of the budget, to be given back

	records  []*kgo.Record // until decoded
	events   []event.Valid
	rejected []event.Rejected
	ready    chan struct{} // closed once decoded
}

// recordOverhead estimates what a record costs beside its bytes: the client's record, the raw record,
// the decoded event and its place in a batch. The bytes themselves are counted twice, since an event
// holds its payload and metadata in canonical form beside the record as it was read.
const recordOverhead = 700

func (c *chunk) cost() int64 { return 2*c.bytes + recordOverhead*int64(len(c.records)) }

// absent is how many offsets hold no record: compacted away, transaction markers, aborted.
func (c *chunk) absent() int64 {
	return c.to - c.from - int64(len(c.events)) - int64(len(c.rejected))
}

// skipTo moves a lease on over offsets that Kafka deleted before they were stored, and answers the chunk
// that accounts for them; nil where there are none.
func (l *lease) skipTo(to int64) *chunk {
	if to <= l.next {
		return nil
	}
	c := &chunk{lease: l, from: l.next, to: to, epoch: -1, ready: make(chan struct{})}
	close(c.ready)
	l.next = to
	return c
}

// cut makes chunks of records that were read under a lease, and moves the lease on. No chunk is larger
// than a batch may be, but for a single record that is.
func cut(l *lease, records []*kgo.Record, o Options) []*chunk {
	most, bytes := min(chunkRecords, o.MaxBatchEvents), min(chunkBytes, o.MaxBatchBytes)
	var chunks []*chunk
	for len(records) > 0 {
		n, size := 0, int64(0)
		for n < len(records) && n < most {
			next := recordBytes(records[n])
			if n > 0 && size+next > bytes {
				break
			}
			size += next
			n++
		}
		last := records[n-1]
		chunks = append(chunks, &chunk{
			lease: l, from: l.next, to: last.Offset + 1, epoch: last.LeaderEpoch,
			bytes: size, records: records[:n:n], ready: make(chan struct{}),
		})
		l.next, records = last.Offset+1, records[n:]
	}
	return chunks
}

func recordBytes(r *kgo.Record) int64 {
	n := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		n += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return int64(n)
}

// decode turns the records into events and rejected records. The records themselves are let go.
func (c *chunk) decode(rules event.Rules, now time.Time) {
	defer close(c.ready)
	c.events = make([]event.Valid, 0, len(c.records))
	headers := headerSpace(c.records)
	for _, r := range c.records {
		if r.Attrs.IsControl() {
			continue // a transaction marker: an offset without a record
		}
		var raw event.Raw
		raw, headers = rawRecord(c.lease.id, r, headers)
		decoded, rejected := event.Decode(raw)
		if rejected == nil {
			var valid event.Valid
			if valid, rejected = decoded.Validate(rules, now); rejected == nil {
				c.events = append(c.events, valid)
				continue
			}
		}
		c.rejected = append(c.rejected, *rejected)
	}
	c.records = nil
}

// headerSpace makes room for the headers of all records at once.
func headerSpace(records []*kgo.Record) []event.Header {
	n := 0
	for _, r := range records {
		n += len(r.Headers)
	}
	if n == 0 {
		return nil
	}
	return make([]event.Header, 0, n)
}

func rawRecord(p store.Partition, r *kgo.Record, headers []event.Header) (event.Raw, []event.Header) {
	raw := event.Raw{
		Coordinates: event.Coordinates{TopicID: p.TopicID, Topic: p.Topic, Partition: p.Number, Offset: r.Offset},
		Key:         r.Key,
		Value:       r.Value,
	}
	if len(r.Headers) > 0 {
		at := len(headers)
		for _, h := range r.Headers {
			headers = append(headers, event.Header{Key: h.Key, Value: h.Value})
		}
		raw.Headers = headers[at:len(headers):len(headers)]
	}
	return raw, headers
}
