package event

import (
	"encoding/base64"
	"iter"
	"math"
	"strconv"
	"time"
)

// Members iterates over the members of an object that MUST be canonical: the inside of each name in its
// canonical spelling, and the value. Both lie in object.
func Members(object []byte) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		members := membersOf(object)
		for name, value, ok := members.next(); ok; name, value, ok = members.next() {
			if !yield(name, value) {
				return
			}
		}
	}
}

// ParseStored reads an event as AppendJSON writes it. White space, the order of members, the escapes of
// texts and the spelling of numbers are free; everything else is not: each of the twelve members exactly
// once and no other, times, ids and the salt in their one spelling. So what it takes has one meaning,
// and its Canonical is the form of src without the position. Kafka.TopicID is zero.
//
// It does not ask for the rules that a producer's event keeps (Validate): they may be others when the
// event is read than when it was stored. The error is a *TextError, or says that src is beyond 512 MiB.
func ParseStored(src []byte) (Stored, error) {
	canonical, err := Canonicalize(make([]byte, 0, len(src)), src)
	if err != nil {
		return Stored{}, err
	}
	if canonical[0] != '{' {
		return Stored{}, unlike("", "is not an object")
	}
	p := storedParser{}
	for name, value := range Members(canonical) {
		p.member(string(name), value)
	}
	return p.finish()
}

// storedParser gathers the members of a stored event. It goes on after a breach, and keeps the first.
type storedParser struct {
	stored Stored
	seen   int
	err    *TextError
}

// storedMembers is how many members a stored event has, and kafkaMembers how many its coordinates.
const (
	storedMembers = 12
	kafkaMembers  = 3
)

func unlike(field, detail string) *TextError {
	return &TextError{Reason: InvalidField, Field: field, Detail: detail}
}

func (p *storedParser) fail(field, detail string) {
	if p.err == nil {
		p.err = unlike(field, detail)
	}
}

func (p *storedParser) member(name string, value []byte) {
	s := &p.stored
	p.seen++
	switch name {
	case "eventId":
		p.id(value)
	case "eventType":
		s.Type = p.text(name, value)
	case "aggregateId":
		s.AggregateID = p.text(name, value)
	case "aggregateType":
		s.AggregateType = p.text(name, value)
	case "timestamp":
		s.Timestamp = p.time(name, value)
	case "recordedAt":
		s.RecordedAt = p.time(name, value)
	case "version":
		s.Version = int32(p.whole(name, value, math.MaxInt32))
	case "position":
		s.Position = p.whole(name, value, math.MaxInt64)
	case "payload":
		s.Payload = value
		if string(value) == "null" {
			p.fail(name, "is null")
		}
	case "metadata":
		s.Metadata = value
		if value[0] != '{' {
			p.fail(name, "is not an object")
		}
	case "kafka":
		p.kafka(value)
	case "salt":
		p.salt(value)
	default:
		p.seen--
		p.fail(pathName([]byte(name)), "is a member that a stored event does not have")
	}
}

// finish answers the event, or the first breach. Names are distinct, so counting them is enough.
func (p *storedParser) finish() (Stored, error) {
	if p.err != nil {
		return Stored{}, p.err
	}
	if p.seen != storedMembers {
		return Stored{}, &TextError{Reason: MissingField, Detail: "lacks " + strconv.Itoa(storedMembers-p.seen) + " of the members that a stored event has"}
	}
	return p.stored, nil
}

func (p *storedParser) kafka(value []byte) {
	if value[0] != '{' {
		p.fail("kafka", "is not an object")
		return
	}
	c, seen := &p.stored.Kafka, 0
	for name, v := range Members(value) {
		seen++
		switch string(name) {
		case "topic":
			c.Topic = p.text("kafka.topic", v)
		case "partition":
			c.Partition = int32(p.whole("kafka.partition", v, math.MaxInt32))
		case "offset":
			c.Offset = p.whole("kafka.offset", v, math.MaxInt64)
		default:
			p.fail("kafka."+pathName(name), "is a member that Kafka's coordinates do not have")
		}
	}
	if seen != kafkaMembers {
		p.fail("kafka", "lacks topic, partition or offset")
	}
}

func (p *storedParser) text(field string, value []byte) string {
	if value[0] != '"' {
		p.fail(field, "is not a text")
		return ""
	}
	return string(appendUnescaped(nil, value[1:len(value)-1]))
}

func (p *storedParser) id(value []byte) {
	text := p.text("eventId", value)
	id, ok := parseID(text)
	if !ok || id.String() != text {
		p.fail("eventId", "is not a UUID in lower-case letters")
	}
	p.stored.ID = id
}

func (p *storedParser) time(field string, value []byte) time.Time {
	text := p.text(field, value)
	t, err := parseTime(text)
	if err != nil || FormatTime(t) != text {
		p.fail(field, "is not a time in UTC with six digits of fraction")
	}
	return t
}

func (p *storedParser) whole(field string, value []byte, most int64) int64 {
	n, err := strconv.ParseInt(string(value), 10, 64)
	if err != nil || n < 0 || n > most {
		p.fail(field, "is not a whole number from 0 to "+strconv.FormatInt(most, 10))
		return 0
	}
	return n
}

func (p *storedParser) salt(value []byte) {
	salt := &p.stored.Salt
	text := p.text("salt", value)
	decoded, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(decoded) != len(salt) || base64.RawURLEncoding.EncodeToString(decoded) != text {
		p.fail("salt", "is not 16 bytes in base64url without padding")
		return
	}
	copy(salt[:], decoded)
}
