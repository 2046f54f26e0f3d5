// Package event is the business event: its fields, how a Kafka record is decoded and checked, and the
// canonical form that digests and ledger leaves are computed over.
//
// It is pure: no I/O, no clock, no database, no Kafka client. The stages of the ingest pipeline are
// types, so that a stage in the wrong order does not compile:
//
//	Raw --Decode--> Decoded --Validate--> Valid --store.Append--> Stored
//
// A record that fails at a stage becomes a *Rejected and travels on with its batch.
package event

import (
	"encoding/hex"
	"time"
)

// ID is an event's id: the 16 bytes of a UUID (RFC 9562), any version, never nil.
type ID [16]byte

// String is the 36-character lower-case form.
func (id ID) String() string { return string(id.append(make([]byte, 0, 36))) }

// append appends the 36-character lower-case form.
func (id ID) append(dst []byte) []byte {
	dst = append(hex.AppendEncode(dst, id[0:4]), '-')
	dst = append(hex.AppendEncode(dst, id[4:6]), '-')
	dst = append(hex.AppendEncode(dst, id[6:8]), '-')
	dst = append(hex.AppendEncode(dst, id[8:10]), '-')
	return hex.AppendEncode(dst, id[10:16])
}

// Event is the eight members of a business event in the form in which they are stored.
type Event struct {
	ID            ID
	Type          string
	AggregateID   string
	AggregateType string
	Timestamp     time.Time // UTC, whole microseconds
	Version       int32
	Payload       []byte // any JSON value but null, in canonical form
	Metadata      []byte // a JSON object in canonical form; top-level extras under "extensions"
}

// Stored is an event as it is read back from the event store.
type Stored struct {
	Event
	Position   int64     // index in the ledger, dense, from 0
	RecordedAt time.Time // when it was stored; UTC, whole microseconds
	Kafka      Coordinates
	Salt       [16]byte // blinds the ledger leaf, so that it can't be confirmed by guessing
}
