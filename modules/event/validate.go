package event

import (
	"strconv"
	"time"
)

// Rules are the limits that an operator sets.
type Rules struct {
	MaxDepth       int           // deepest nesting of a record; the event itself is 1. At most DepthLimit
	MaxRecordBytes int           // bytes of a record's value. At most RecordBytesLimit
	MaxFuture      time.Duration // how far a timestamp may lie after now
}

// DefaultRules are the limits that hold where no setting says otherwise.
func DefaultRules() Rules {
	return Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 24 * time.Hour}
}

// Valid is an event that keeps every rule, with the record that it came in. Only Validate makes one; the
// zero Valid holds nothing and MUST NOT be asked.
type Valid struct{ v *valid }

type valid struct {
	raw    Raw
	event  Event
	digest Digest
}

// Event is the event as it is to be stored, before sealing. It MUST NOT be changed.
func (v Valid) Event() *Event { return &v.v.event }

// Raw is the record that the event came in. It MUST NOT be changed.
func (v Valid) Raw() *Raw { return &v.v.raw }

// Digest is the event's dedupe digest: DigestSize bytes, which MUST NOT be changed.
func (v Valid) Digest() []byte { return v.v.digest[:] }

// Validate checks a decoded record against the rules of an event.
//
// Breaches are looked for in this order, and the first is reported: too_large, too_deep, then the fields
// eventId, eventType, aggregateId, aggregateType, timestamp, version, payload, metadata with its known
// members, then reserved names anywhere, then members that can't be merged into metadata.extensions.
// now is the time of reading, against which MaxFuture counts.
func (d Decoded) Validate(rules Rules, now time.Time) (Valid, *Rejected) {
	if len(d.raw.Value) > rules.MaxRecordBytes {
		return Valid{}, d.tooLarge(rules.MaxRecordBytes)
	}
	if d.deepest > rules.MaxDepth {
		return Valid{}, d.rejectFault(d.locate(rules.MaxDepth, false))
	}
	v := &valid{raw: d.raw}
	if p := d.event(&v.event, rules, now); p != nil {
		return Valid{}, d.reject(p.reason, p.field, p.detail)
	}
	if d.reserved {
		return Valid{}, d.rejectFault(d.locate(DepthLimit, true))
	}
	if p := d.storedMetadata(&v.event); p != nil {
		return Valid{}, d.reject(p.reason, p.field, p.detail)
	}
	v.digest = v.event.Digest()
	return Valid{v}, nil
}

// locate reads the record once more to find the path of what the first reading only noticed: keeping
// paths is not worth its price for records that are right.
func (d *Decoded) locate(limit int, refuseReserved bool) *fault {
	s := scanner{in: d.raw.Value, limit: limit, refuseReserved: refuseReserved}
	s.record()
	if s.fault.reason == TooDeep {
		s.fault.detail = "is nested deeper than the " + strconv.Itoa(limit) + " levels that are allowed"
	}
	return &s.fault
}

// problem is the breach of a field's rule.
type problem struct {
	reason Reason
	field  string
	detail string
}

func invalid(f string, detail string) *problem {
	return &problem{reason: InvalidField, field: f, detail: detail}
}

// event checks the fields in their order and fills e, but for what storedMetadata adds.
func (d *Decoded) event(e *Event, rules Rules, now time.Time) (p *problem) {
	if e.ID, p = d.id(); p != nil {
		return p
	}
	if p = d.names(e); p != nil {
		return p
	}
	if e.Timestamp, p = d.timestamp(now.Add(rules.MaxFuture)); p != nil {
		return p
	}
	if e.Version, p = d.version(); p != nil {
		return p
	}
	if e.Payload, p = d.required(payload); p != nil {
		return p
	}
	e.Metadata, p = d.metadata()
	return p
}
