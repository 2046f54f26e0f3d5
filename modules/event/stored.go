package event

import (
	"encoding/base64"
	"slices"
	"strconv"
)

// Canonical is the canonical form of a stored event, all members but its position: what the ledger's
// leaf is computed over. s.Payload and s.Metadata MUST be canonical, its texts valid UTF-8.
func (s *Stored) Canonical() []byte { return s.AppendCanonical(make([]byte, 0, s.size())) }

// AppendCanonical appends Canonical's form to dst. It allocates nothing where dst has the room.
func (s *Stored) AppendCanonical(dst []byte) []byte {
	b := append(dst, `{"aggregateId":`...)
	b = appendText(b, s.AggregateID)
	b = append(b, `,"aggregateType":`...)
	b = appendText(b, s.AggregateType)
	b = append(b, `,"eventId":"`...)
	b = s.ID.append(b)
	b = append(b, `","eventType":`...)
	b = appendText(b, s.Type)
	b = append(b, `,"kafka":{"offset":`...)
	b = appendInt(b, s.Kafka.Offset)
	b = append(b, `,"partition":`...)
	b = appendInt(b, int64(s.Kafka.Partition))
	b = append(b, `,"topic":`...)
	b = appendText(b, s.Kafka.Topic)
	b = append(b, `},"metadata":`...)
	b = append(b, s.Metadata...)
	b = append(b, `,"payload":`...)
	b = append(b, s.Payload...)
	b = append(b, `,"recordedAt":"`...)
	b = AppendTime(b, s.RecordedAt)
	b = append(b, `","salt":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, s.Salt[:])
	b = append(b, `","timestamp":"`...)
	b = AppendTime(b, s.Timestamp)
	b = append(b, `","version":`...)
	b = appendInt(b, int64(s.Version))
	return append(b, '}')
}

// AppendJSON appends the event as the API shows it: the same members and its position, in the order in
// which people read them.
func (s *Stored) AppendJSON(dst []byte) []byte {
	b := append(dst, `{"eventId":"`...)
	b = s.ID.append(b)
	b = append(b, `","eventType":`...)
	b = appendText(b, s.Type)
	b = append(b, `,"aggregateId":`...)
	b = appendText(b, s.AggregateID)
	b = append(b, `,"aggregateType":`...)
	b = appendText(b, s.AggregateType)
	b = append(b, `,"timestamp":"`...)
	b = AppendTime(b, s.Timestamp)
	b = append(b, `","version":`...)
	b = appendInt(b, int64(s.Version))
	b = append(b, `,"payload":`...)
	b = append(b, s.Payload...)
	b = append(b, `,"metadata":`...)
	b = append(b, s.Metadata...)
	b = append(b, `,"position":`...)
	b = appendInt(b, s.Position)
	b = append(b, `,"recordedAt":"`...)
	b = AppendTime(b, s.RecordedAt)
	b = append(b, `","kafka":{"topic":`...)
	b = appendText(b, s.Kafka.Topic)
	b = append(b, `,"partition":`...)
	b = appendInt(b, int64(s.Kafka.Partition))
	b = append(b, `,"offset":`...)
	b = appendInt(b, s.Kafka.Offset)
	b = append(b, `},"salt":"`...)
	b = base64.RawURLEncoding.AppendEncode(b, s.Salt[:])
	return append(b, '"', '}')
}

// StoredMembers returns the names of the members that AppendJSON writes, in its order.
func StoredMembers() []string {
	return []string{
		"eventId", "eventType", "aggregateId", "aggregateType", "timestamp", "version", "payload", "metadata",
		"position", "recordedAt", "kafka", "salt",
	}
}

// AppendSelected appends the event as AppendJSON does, with the members of these names alone.
func (s *Stored) AppendSelected(dst []byte, names []string) []byte {
	dst = append(dst, '{')
	members := membersOf(s.AppendJSON(make([]byte, 0, s.size())))
	first := true
	for name, value, ok := members.next(); ok; name, value, ok = members.next() {
		if !slices.Contains(names, string(name)) {
			continue
		}
		if !first {
			dst = append(dst, ',')
		}
		dst = append(append(append(append(dst, '"'), name...), '"', ':'), value...)
		first = false
	}
	return append(dst, '}')
}

// size is how many bytes either form takes, about.
func (s *Stored) size() int {
	return 400 + len(s.AggregateID) + len(s.AggregateType) + len(s.Type) + len(s.Kafka.Topic) + len(s.Metadata) + len(s.Payload)
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
