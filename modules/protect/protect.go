// Package protect seals the sensitive fields of events before they are stored, and opens them for those who may see
// them.
//
// Rules say which fields are sensitive and whose they are. Each value is sealed with a key of its subject's own
// (AES-256-GCM), so that destroying the key erases the subject's values from a history that can't be changed. A
// wrapping key wraps the subjects' keys, and a key-encryption key, which a key service holds, wraps that.
//
// Sealed is the type that the event store takes: an event that has not been through Seal can't be stored.
//
// The package holds no SQL and knows nothing of Kafka.
package protect

import "audittrail/modules/event"

// Sealed is an event as it is to be stored. Only Seal makes one; the zero Sealed holds nothing and MUST NOT
// be asked.
type Sealed struct {
	valid  event.Valid
	sealed *sealed // nil if the event has no sensitive field
	keys   *roots  // for digests of other records of this event; nil if there are no rules
}

// sealed is an event with sensitive fields, sealed.
type sealed struct {
	event  event.Event // as the row has it: with numbers in the places of sealed values
	column []byte
	keys   []KeyID
	tokens []Token
	digest event.Digest
}

// Event returns the event as its row has it: other than it is stored, it has placeholders for sealed values. It MUST NOT
// be changed.
func (s Sealed) Event() *event.Event {
	if s.sealed != nil {
		return &s.sealed.event
	}
	return s.valid.Event()
}

// Column returns what the row's column of sealed values holds; nil if there are none. It MUST NOT be changed.
func (s Sealed) Column() []byte {
	if s.sealed == nil {
		return nil
	}
	return s.sealed.column
}

// Stored returns the event as it is stored, its sealed values in their places. The event's documents lie in space, which
// is returned to be used for the next event: they are good until then.
func (s Sealed) Stored(space []byte) (e event.Event, _ []byte, err error) {
	e = *s.Event()
	e.Payload, e.Metadata, space, err = expandInto(space, e.Payload, e.Metadata, s.Column())
	return e, space, err
}

// Keys returns the subjects' keys that the event's values are sealed with, each once.
func (s Sealed) Keys() []KeyID {
	if s.sealed == nil {
		return nil
	}
	return s.sealed.keys
}

// Tokens returns what finds the event by its sealed values.
func (s Sealed) Tokens() []Token {
	if s.sealed == nil {
		return nil
	}
	return s.sealed.tokens
}

// Raw returns the record that the event came in. It MUST NOT be changed.
func (s Sealed) Raw() *event.Raw { return s.valid.Raw() }

// Digest returns the event's dedupe digest. It MUST NOT be changed.
func (s Sealed) Digest() []byte {
	if s.sealed != nil {
		return s.sealed.digest[:]
	}
	return s.valid.Digest()
}

// Says reports whether a digest is that of the same content, by the digest's own scheme: rules may have changed since
// it was made. What can't be compared any more counts as the same.
func (s Sealed) Says(digest []byte) bool {
	if len(digest) == 0 || digest[0] == event.SchemeErased {
		return true
	}
	switch {
	case digest[0] != event.SchemeKeyed:
		return string(digest) == string(s.valid.Digest())
	case s.sealed != nil:
		return string(digest) == string(s.sealed.digest[:])
	case s.keys == nil:
		return true
	}
	keyed := event.NewKeyedDigester(s.keys.digests).Digest(s.valid.Event())
	return string(digest) == string(keyed[:])
}
