package ingest

import (
	"context"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

// chunk is a run of offsets of one partition, read under one lease. The poller makes it, one decoder
// fills in events and rejected and closes ready, the partition's worker appends it.
type chunk struct {
	lease    *lease
	from, to int64 // every offset of [from, to); from is the to of the chunk before
	epoch    int32 // leader epoch of the last record; -1 where there is none
	bytes    int64 // of keys, values and headers
	taken    int64 // of the budget, to be given back

	records  []event.Raw // until decoded
	events   []protect.Sealed
	rejected []event.Rejected
	ready    chan struct{} // closed once decoded

	spans    []recordSpan // of those records that are traced, in the order of their offsets
	appended bool
}

// recordOverhead estimates what a record costs beside its bytes: the raw record, the decoded event and its
// place in a batch. The bytes themselves are counted twice, since an event holds its payload and metadata
// in canonical form beside the record as it was read.
const recordOverhead = 700

// headerOverhead estimates what a header costs beside its bytes.
const headerOverhead = 64

// sealedOverhead estimates what a record costs on top of that where values are sealed, beside its bytes, which are then
// counted three times: its row has another form, and each sealed value is padded.
const sealedOverhead = 600

func (c *chunk) cost(sealed bool) int64 {
	n := int64(len(c.records))
	if sealed {
		return 3*c.bytes + (recordOverhead+sealedOverhead)*n
	}
	return 2*c.bytes + recordOverhead*n
}

// absent is how many offsets hold no record: compacted away, transaction markers, aborted.
func (c *chunk) absent() int64 {
	return c.to - c.from - int64(len(c.events)) - int64(len(c.rejected))
}

// sealer is what decoding needs of protect.Protector.
type sealer interface {
	Seals() bool // whether any event may have values that are sealed
	Seal(ctx context.Context, events []event.Valid) ([]protect.Sealed, error)
}

// decode turns the records into events and rejected records. The records themselves are let go. It fails
// where an event can't be sealed, because the keys are out of reach; then it may be called again.
func (c *chunk) decode(ctx context.Context, rules event.Rules, now time.Time, s sealer) error {
	valids, rejections := make([]event.Valid, 0, len(c.records)), []event.Rejected(nil)
	for _, raw := range c.records {
		decoded, rejected := event.Decode(raw)
		if rejected == nil {
			var valid event.Valid
			if valid, rejected = decoded.Validate(rules, now); rejected == nil {
				valids = append(valids, valid)
				continue
			}
		}
		rejections = append(rejections, *rejected)
	}
	events, err := s.Seal(ctx, valids)
	if err != nil {
		return err
	}
	c.events, c.rejected, c.records = events, rejections, nil
	close(c.ready)
	return nil
}

// rawOf is the record as the event stages take it.
func rawOf(p store.Partition, r *kafka.Record) event.Raw {
	raw := event.Raw{
		Coordinates: event.Coordinates{TopicID: p.TopicID, Topic: p.Topic, Partition: p.Number, Offset: r.Offset},
		Time:        r.Time,
		Key:         r.Key,
		Value:       r.Value,
	}
	if len(r.Headers) > 0 {
		raw.Headers = make([]event.Header, len(r.Headers))
	}
	for i, h := range r.Headers {
		raw.Headers[i] = event.Header{Key: h.Key, Value: h.Value}
	}
	if o := r.Oversize; o != nil {
		raw.Oversize = &event.Oversize{Length: o.ValueLength, SHA256: o.ValueSHA256, Detail: o.String()}
	}
	return raw
}
