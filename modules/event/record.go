package event

import "time"

// TopicID is Kafka's id of a topic (KIP-516). A topic that is deleted and made again under its old
// name has another id, which is why coordinates are keyed by it.
type TopicID [16]byte

// Coordinates say where in Kafka a record was read.
type Coordinates struct {
	TopicID   TopicID // zero where it was read back from the event store, which keeps the name only
	Topic     string
	Partition int32
	Offset    int64
}

// Header is one Kafka record header.
type Header struct {
	Key   string
	Value []byte
}

// Raw is a Kafka record as it was read. Its slices belong to it: no stage changes them.
type Raw struct {
	Coordinates
	Time    time.Time // the record's timestamp, as producer or broker set it; zero where it is not known
	Key     []byte
	Value   []byte // nil for a tombstone; where Oversize is set, the first OversizeKept bytes only
	Headers []Header

	Oversize *Oversize // set where the record is too large to be kept whole
}

// OversizeKept is how many bytes are kept of a value that is too long to be kept whole.
const OversizeKept = 4 << 10

// Oversize describes a record that is too large to be kept whole.
type Oversize struct {
	Length int64    // bytes of the whole value
	SHA256 [32]byte // of the whole value
	Detail string   // what is too long, in words that quote nothing
}

// Reason is the stable code that says why a record could not become an event.
type Reason string

// The reasons. Scripts match on them; docs/KAFKA-CHEATSHEET.md tells producers of each.
const (
	EmptyValue       Reason = "empty_value"         // no value, or a tombstone
	MalformedJSON    Reason = "malformed_json"      // not one JSON object
	DuplicateMember  Reason = "duplicate_member"    // an object names a member twice
	InvalidText      Reason = "invalid_text"        // invalid UTF-8, NUL, a lone surrogate
	NumberOutOfRange Reason = "number_out_of_range" // more than 1,000 digits when written out plainly, or 1 MiB more by all numbers
	TooDeep          Reason = "too_deep"            // nested beyond Rules.MaxDepth; the event itself is 1
	TooLarge         Reason = "too_large"           // value beyond Rules.MaxRecordBytes
	MissingField     Reason = "missing_field"       // a required member is absent or null
	InvalidField     Reason = "invalid_field"       // a member breaks its rule
	EventIDConflict  Reason = "event_id_conflict"   // the id is taken by an event with other content
	StoreRejected    Reason = "store_rejected"      // PostgreSQL itself refused the row
)

// Reasons returns all of them.
func Reasons() []Reason {
	return []Reason{EmptyValue, MalformedJSON, DuplicateMember, InvalidText, NumberOutOfRange, TooDeep, TooLarge,
		MissingField, InvalidField, EventIDConflict, StoreRejected}
}

// Rejected is a record that could not become an event. It keeps the record, so that nothing is lost.
type Rejected struct {
	Raw    Raw
	Reason Reason
	Field  string // the offending member's path, as "metadata.userId" or "payload.lines[3].qty"; "" for the whole record
	Detail string // what was wrong, in our words; never quotes a value of the record
}
