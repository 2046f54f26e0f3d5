package event

import (
	"bytes"
	"crypto/sha256"
	"strconv"
)

// field is one of the eight members of an event, in the order in which their rules are checked.
type field int

const (
	eventID field = iota
	eventType
	aggregateID
	aggregateType
	timestamp
	version
	payload
	metadata
	fieldCount
)

// name is the field's member name on the wire.
func (f field) name() string {
	return [fieldCount]string{
		"eventId", "eventType", "aggregateId", "aggregateType", "timestamp", "version", "payload", "metadata",
	}[f]
}

// fieldNamed finds the field with a member name; fieldCount if there is none.
func fieldNamed(name []byte) field {
	switch string(name) {
	case "eventId":
		return eventID
	case "eventType":
		return eventType
	case "aggregateId":
		return aggregateID
	case "aggregateType":
		return aggregateType
	case "timestamp":
		return timestamp
	case "version":
		return version
	case "payload":
		return payload
	case "metadata":
		return metadata
	}
	return fieldCount
}

// Decoded is a record whose value is one JSON object, strictly read: well-formed, valid text, no
// duplicate members, numbers that can be stored. Whether it is an event is Validate's to say.
type Decoded struct {
	raw      Raw
	fields   [fieldCount][]byte // values in canonical form, all in one allocation; nil where absent
	others   []byte             // members that are none of the fields, as one canonical object; nil without
	deepest  int
	reserved bool // an object in it has a member with a reserved name
}

// Decode reads a record's value in one pass.
//
// It rejects, in this order: no value (empty_value); a value beyond RecordBytesLimit (too_large); then
// the first breach that it meets from left to right of malformed_json, invalid_text, number_out_of_range,
// too_deep (beyond DepthLimit) and duplicate_member, which is met where the object ends. A Rejected
// carries the record.
func Decode(r Raw) (Decoded, *Rejected) {
	d := Decoded{raw: r}
	switch {
	case r.Oversize != nil:
		return Decoded{}, d.reject(TooLarge, "", r.Oversize.Detail)
	case len(r.Value) == 0:
		return Decoded{}, d.reject(EmptyValue, "", "the record has no value")
	case len(r.Value) > RecordBytesLimit:
		return Decoded{}, d.tooLarge(RecordBytesLimit)
	}
	s := scanner{in: r.Value, limit: DepthLimit}
	s.out = make([]byte, 0, len(r.Value))
	s.stack = make([]member, 0, 32)
	if !s.record() || !d.take(&s) {
		return Decoded{}, d.rejectFault(&s.fault)
	}
	return d, nil
}

// record reads the whole input as one object and leaves its members on the stack.
func (s *scanner) record() bool {
	s.space()
	if s.peek() != '{' {
		return s.malformed(s.pos, "the record is not a JSON object")
	}
	return s.members(1) && s.end()
}

// take sorts the record's members into fields and others.
func (d *Decoded) take(s *scanner) bool {
	d.deepest, d.reserved = s.deepest, s.reserved
	others := 0
	for _, m := range s.stack {
		f := fieldNamed(m.name(s.out))
		if f == fieldCount {
			s.stack[others] = m
			others++
			continue
		}
		if d.fields[f] != nil {
			return s.duplicate(m.name(s.out))
		}
		d.fields[f] = m.value(s.out)
	}
	if others > 0 {
		if !s.sortMembers(s.stack[:others]) {
			return false
		}
		d.others = objectOf(s.out, s.stack[:others])
	}
	return true
}

// objectOf makes one object of members that lie in out.
func objectOf(out []byte, members []member) []byte {
	object := []byte{'{'}
	for _, m := range members {
		object = append(object, out[m.start:m.end]...)
		object = append(object, ',')
	}
	object[len(object)-1] = '}'
	return object
}

func (d *Decoded) reject(reason Reason, field, detail string) *Rejected {
	return &Rejected{Raw: d.raw, Reason: reason, Field: field, Detail: detail}
}

func (d *Decoded) rejectFault(f *fault) *Rejected {
	return d.reject(f.reason, f.field(), f.detail)
}

// tooLarge rejects the record without most of its value: a value that unpacks to gigabytes must take
// neither memory nor disk.
func (d *Decoded) tooLarge(limit int) *Rejected {
	d.raw.Oversize = &Oversize{
		Length: int64(len(d.raw.Value)), SHA256: sha256.Sum256(d.raw.Value),
		Detail: "the value has " + strconv.Itoa(len(d.raw.Value)) + " bytes; at most " + strconv.Itoa(limit) + " are allowed",
	}
	d.raw.Value = bytes.Clone(d.raw.Value[:min(OversizeKept, len(d.raw.Value))])
	return d.reject(TooLarge, "", d.raw.Oversize.Detail)
}
