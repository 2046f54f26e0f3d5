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

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"sync"

	"audittrail/modules/event"
)

// Sealed is an event as it is to be stored. Only Seal makes one; the zero Sealed holds nothing and MUST NOT
// be asked.
type Sealed struct {
	valid  event.Valid
	sealed *sealed // nil if the event has no sensitive field
	keys   *roots  // for digests of other records of this event; nil if there are no rules
}

// sealed is an event with sensitive fields, sealed.
type sealed struct {
	event    event.Event // with the sealed values in their places
	payload  []byte      // as the row has it
	metadata []byte
	column   []byte
	keys     []KeyID
	tokens   []Token
	digest   event.Digest
}

// Token finds an event by a value that is sealed in it.
type Token struct {
	Key   KeyID // whose value it is
	Value TokenValue
	Place int // its number in the row: it stands in the place {"$sealed":Place}
}

// TokenValue is a keyed hash of a value.
type TokenValue [16]byte

// Event returns the event as it is stored, its sealed values in their places. It MUST NOT be changed.
func (s Sealed) Event() *event.Event {
	if s.sealed != nil {
		return &s.sealed.event
	}
	return s.valid.Event()
}

// Row returns the documents as the event's row has them, with the column that holds the sealed values; nil if there
// are none. They MUST NOT be changed.
func (s Sealed) Row() (payload, metadata, column []byte) {
	if s.sealed != nil {
		return s.sealed.payload, s.sealed.metadata, s.sealed.column
	}
	e := s.valid.Event()
	return e.Payload, e.Metadata, nil
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
	keyed := s.valid.Event().KeyedDigest(s.keys.digests)
	return string(digest) == string(keyed[:])
}

// Protector seals events. It is safe for concurrent use.
type Protector struct {
	rules *Rules
	keys  *Keyring

	mu    sync.Mutex
	types map[string]*typeRules
	names map[*rule][]byte // keys of tokens
}

// NewProtector returns a Protector without rules.
func NewProtector() *Protector { return &Protector{} }

// WithRules returns a Protector that seals what the rules say.
func WithRules(rules *Rules, keys *Keyring) *Protector {
	return &Protector{rules: rules, keys: keys, types: map[string]*typeRules{}, names: map[*rule][]byte{}}
}

// manyTypes bounds the types whose rules are remembered.
const manyTypes = 10_000

func (p *Protector) rulesOf(eventType string) *typeRules {
	p.mu.Lock()
	defer p.mu.Unlock()
	t, ok := p.types[eventType]
	if !ok {
		if len(p.types) >= manyTypes {
			clear(p.types)
		}
		t = p.rules.of(eventType)
		p.types[eventType] = t
	}
	return t
}

// Seal seals the events' sensitive fields. An error says that the keys are out of reach: the caller waits and tries
// again.
func (p *Protector) Seal(ctx context.Context, events []event.Valid) ([]Sealed, error) {
	out := make([]Sealed, len(events))
	for i, v := range events {
		out[i].valid = v
	}
	if p.keys == nil {
		return out, nil
	}
	root, err := p.keys.loaded(ctx)
	if err != nil {
		return nil, err
	}
	b := batch{protector: p, root: root, hashes: map[string]SubjectHash{}}
	for i, v := range events {
		out[i].keys = root
		if t := p.rulesOf(v.Event().Type); t != nil {
			b.find(i, v.Event(), t)
		}
	}
	if len(b.sites) == 0 {
		return out, nil
	}
	subjects := make([]SubjectHash, 0, len(b.hashes))
	for _, hash := range b.hashes {
		subjects = append(subjects, hash)
	}
	if b.keys, err = p.keys.forSubjects(ctx, subjects); err != nil {
		return nil, err
	}
	if err := b.throwAway(ctx, events); err != nil {
		return nil, err
	}
	b.nonces = make([]byte, nonceSize*len(b.sites))
	_, _ = rand.Read(b.nonces) // never fails (crypto/rand)
	for from := 0; from < len(b.sites); {
		to := from + 1
		for to < len(b.sites) && b.sites[to].event == b.sites[from].event {
			to++
		}
		at := b.sites[from].event
		out[at].sealed = b.seal(events[at].Event(), from, to)
		from = to
	}
	return out, nil
}

// site is a sensitive value of an event.
type site struct {
	event    int  // its index in the batch
	inMeta   bool // in metadata, else in the payload
	from, to int  // where it lies in the document
	pointer  [2]int
	rule     *rule
	subject  SubjectHash
	key      subjectKey // set where another than the subject's present key is used
}

// batch is the sealing of some events.
type batch struct {
	protector *Protector
	root      *roots
	sites     []site
	pointers  []byte
	hashes    map[string]SubjectHash
	keys      map[SubjectHash]subjectKey
	nonces    []byte

	// of the event whose sites are looked for
	of      *event.Event
	at      int
	text    []byte
	inMeta  bool
	pointer []byte
	indices []int
}

// find adds the sites of an event.
func (b *batch) find(i int, e *event.Event, t *typeRules) {
	b.of, b.at = e, i
	b.text, b.inMeta, b.pointer = e.Payload, false, append(b.pointer[:0], "/payload"...)
	b.look(e.Payload, t.payload)
	b.text, b.inMeta, b.pointer = e.Metadata, true, append(b.pointer[:0], "/metadata"...)
	b.look(e.Metadata, t.metadata)
}

// look finds the sensitive values in a value.
func (b *batch) look(value []byte, n *node) {
	back := len(b.pointer)
	switch {
	case len(n.rules) > 0:
		from := cap(b.text) - cap(value) // value lies in text
		start := len(b.pointers)
		b.pointers = append(b.pointers, b.pointer...)
		b.sites = append(b.sites, site{
			event: b.at, inMeta: b.inMeta, from: from, to: from + len(value), pointer: [2]int{start, len(b.pointers)},
			rule: n.rules[0], subject: b.subjectOf(n.rules[0]),
		})
	case value[0] == '{' && len(n.members) > 0:
		for name, member := range event.Members(value) {
			if next := n.members[string(name)]; next != nil {
				b.pointer = appendName(b.pointer, name)
				b.look(member, next)
				b.pointer = b.pointer[:back]
			}
		}
	case value[0] == '[' && n.items != nil:
		b.indices = append(b.indices, 0)
		for i, element := range event.Elements(value) {
			b.indices[len(b.indices)-1] = i
			b.pointer = appendIndex(b.pointer, i)
			b.look(element, n.items)
			b.pointer = b.pointer[:back]
		}
		b.indices = b.indices[:len(b.indices)-1]
	}
}

// subjectOf returns the hash of whose value it is that was found.
func (b *batch) subjectOf(r *rule) SubjectHash {
	subject := r.subject.of(b.of, b.indices)
	hash, ok := b.hashes[subject]
	if !ok {
		hash = b.root.hash(subject)
		b.hashes[subject] = hash
	}
	return hash
}

// AggregateSubject is the subject of values whose rule names none, or whose event lacks the one that it names.
func AggregateSubject(aggregateType, aggregateID string) string {
	return aggregateType + "/" + aggregateID
}

// of returns the subject that a path leads to; indices say which elements of arrays are meant.
func (p path) of(e *event.Event, indices []int) string {
	whole := AggregateSubject(e.AggregateType, e.AggregateID)
	var at []byte
	switch p.root {
	case "aggregateId":
		return e.AggregateID
	case "payload":
		at = e.Payload
	case "metadata":
		at = e.Metadata
	default:
		return whole
	}
	for _, step := range p.steps {
		var next []byte
		switch {
		case step == each && at[0] == '[' && len(indices) > 0:
			for i, element := range event.Elements(at) {
				if i == indices[0] {
					next = element
					break
				}
			}
			indices = indices[1:]
		case step != each && at[0] == '{':
			for name, member := range event.Members(at) {
				if string(name) == step {
					next = member
					break
				}
			}
		}
		if next == nil {
			return whole
		}
		at = next
	}
	if text, ok := event.TextOf(at); ok && text != "" {
		return text
	}
	if at[0] == '-' || at[0] >= '0' && at[0] <= '9' {
		return string(at)
	}
	return whole
}

// throwAway gives values of records from before their subject was erased a key that nobody keeps.
func (b *batch) throwAway(ctx context.Context, events []event.Valid) error {
	var gone []WrappedKey
	thrown := map[SubjectHash]subjectKey{}
	for i := range b.sites {
		s := &b.sites[i]
		read := events[s.event].Raw().Time
		if shredded := b.keys[s.subject].shredded; shredded.IsZero() || read.IsZero() || !read.Before(shredded) {
			continue
		}
		key, ok := thrown[s.subject]
		if !ok {
			id, secret := newKey()
			aead, err := newAEAD(secret)
			if err != nil {
				return err
			}
			key = subjectKey{id: id, aead: aead}
			thrown[s.subject] = key
			gone = append(gone, WrappedKey{ID: id, Subject: s.subject, By: b.root.by})
		}
		s.key = key
	}
	if len(gone) == 0 {
		return nil
	}
	if err := b.protector.keys.store.CreateKeys(ctx, gone); err != nil {
		_, _ = b.protector.keys.reload(ctx) // the wrapping key may have been rotated; the caller tries again
		return away("note thrown-away keys", err)
	}
	return nil
}

// padding is what the length of a value is rounded up to, so that it says little of the value.
const padding = 32

// seal seals the sites [from, to), which are those of an event.
func (b *batch) seal(e *event.Event, from, to int) *sealed {
	out := &sealed{event: *e, payload: e.Payload, metadata: e.Metadata, digest: e.KeyedDigest(b.root.digests)}
	for i := from; i < to; i++ {
		if b.sites[i].key.aead != nil { // thrown away: nothing that would confirm a guess is kept either
			out.digest = event.Digest{event.SchemeErased}
		}
	}
	var space, plain, value []byte
	for _, inMeta := range []bool{false, true} {
		text := e.Payload
		if inMeta {
			text = e.Metadata
		}
		row := make([]byte, 0, len(text))
		full := make([]byte, 0, len(text)+200*(to-from))
		last := 0
		for i := from; i < to; i++ {
			s := &b.sites[i]
			if s.inMeta != inMeta {
				continue
			}
			key := s.key
			if key.aead == nil {
				key = b.keys[s.subject]
			}
			plain = append(plain[:0], text[s.from:s.to]...)
			for len(plain)%padding != 0 {
				plain = append(plain, ' ')
			}
			space = bound(space[:0], e.ID, key.id, b.pointers[s.pointer[0]:s.pointer[1]])
			value = append(append(value[:0], formVersion), key.id[:]...)
			nonce := b.nonces[i*nonceSize:][:nonceSize]
			value = append(value, nonce...)
			value = key.aead.Seal(value, nonce, plain, space)

			row = append(append(row, text[last:s.from]...), sealedBegin...)
			row = appendInt(row, i-from)
			row = append(row, '}')
			full = append(full, text[last:s.from]...)
			full = appendText(full, value)
			out.column = appendColumn(out.column, value)
			last = s.to
			out.note(b, s, i-from, key.id, text[s.from:s.to])
		}
		if last == 0 {
			continue
		}
		row, full = append(row, text[last:]...), append(full, text[last:]...)
		if inMeta {
			out.metadata, out.event.Metadata = row, full
		} else {
			out.payload, out.event.Payload = row, full
		}
	}
	return out
}

// note notes whose value was sealed, and what finds it.
func (s *sealed) note(b *batch, at *site, place int, key KeyID, value []byte) {
	known := false
	for _, id := range s.keys {
		known = known || id == key
	}
	if !known {
		s.keys = append(s.keys, key)
	}
	if at.rule.search && isScalar(value) && at.key.aead == nil { // nothing finds what nobody can open
		s.tokens = append(s.tokens, Token{key, tokenOf(b.protector.tokenKey(b.root, at.rule), value), place})
	}
}

// isScalar reports whether a value can be found when it is sealed.
func isScalar(value []byte) bool { return value[0] != '{' && value[0] != '[' && value[0] != 'n' }

// tokenKey returns the key of a rule's tokens.
func (p *Protector) tokenKey(root *roots, r *rule) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.names[r] == nil {
		p.names[r] = root.tokenKey(r)
	}
	return p.names[r]
}

func (r *roots) tokenKey(of *rule) []byte { return derive(r.key, "token/"+of.name) }

func tokenOf(key, value []byte) TokenValue {
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write(value) // never fails (hash.Hash)
	return TokenValue(mac.Sum(nil)[:16])
}
