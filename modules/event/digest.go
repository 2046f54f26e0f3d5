package event

import (
	"crypto/hmac"
	"crypto/sha256"
	"hash"
)

// DigestSize is the size of a dedupe digest: its scheme, and 16 bytes.
const DigestSize = 17

// The schemes of a digest, its first byte.
const (
	SchemeErased = 0 // no digest any more: whatever record has this id is a duplicate
	SchemePlain  = 1 // the first 16 bytes of SHA-256 over the eight members
	SchemeKeyed  = 2 // the first 16 bytes of HMAC-SHA-256 over the same bytes, of an event with sealed fields
)

// Digest tells two records of one event id apart that do not say the same.
type Digest [DigestSize]byte

// Digest is the digest of e's eight members in canonical form, but for metadata.traceId and
// metadata.audittrail: neither another spelling of the record nor a replay of ours makes a difference.
func (e *Event) Digest() Digest {
	var space [1024]byte
	sum := sha256.Sum256(e.appendDigested(space[:0]))
	d := Digest{SchemePlain}
	copy(d[1:], sum[:])
	return d
}

// KeyedDigester makes digests of events with sensitive fields, as they are before sealing: without the key nobody can
// confirm a guess of what is in them. It is not safe for concurrent use.
type KeyedDigester struct {
	mac   hash.Hash
	space []byte
}

// NewKeyedDigester returns a KeyedDigester with a key.
func NewKeyedDigester(key []byte) *KeyedDigester {
	return &KeyedDigester{mac: hmac.New(sha256.New, key)}
}

// Digest is the keyed form of [Event.Digest].
func (k *KeyedDigester) Digest(e *Event) Digest {
	k.space = e.appendDigested(k.space[:0])
	k.mac.Reset()
	_, _ = k.mac.Write(k.space) // never fails (hash.Hash)
	k.space = k.mac.Sum(k.space[:0])
	d := Digest{SchemeKeyed}
	copy(d[1:], k.space)
	return d
}

// appendDigested appends what a digest is computed over.
func (e *Event) appendDigested(b []byte) []byte {
	b = append(b, `{"aggregateId":`...)
	b = appendText(b, e.AggregateID)
	b = append(b, `,"aggregateType":`...)
	b = appendText(b, e.AggregateType)
	b = append(b, `,"eventId":"`...)
	b = e.ID.append(b)
	b = append(b, `","eventType":`...)
	b = appendText(b, e.Type)
	b = append(b, `,"metadata":`...)
	if mentions(e.Metadata, traceID) || mentions(e.Metadata, marker) {
		b = appendWithout(b, e.Metadata, traceID, marker)
	} else {
		b = append(b, e.Metadata...)
	}
	b = append(b, `,"payload":`...)
	b = append(b, e.Payload...)
	b = append(b, `,"timestamp":"`...)
	b = AppendTime(b, e.Timestamp)
	b = append(b, `","version":`...)
	b = appendInt(b, int64(e.Version))
	return append(b, '}')
}
