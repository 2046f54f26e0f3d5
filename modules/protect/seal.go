package protect

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"hash"
	"slices"
	"sync"

	"audittrail/modules/event"
)

// Protector seals events. It is safe for concurrent use.
type Protector struct {
	rules *Rules
	keys  *Keyring
	spare sync.Pool // of *batch: their spaces are used again

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

// Seals reports whether there are rules.
func (p *Protector) Seals() bool { return p.rules != nil && !p.rules.Empty() }

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
	b := p.batch(root)
	defer p.putBack(b)
	for i, v := range events {
		out[i].keys = root
		if t := p.rulesOf(v.Event().Type); t != nil {
			b.find(i, v.Event(), t)
		}
	}
	if len(b.sites) == 0 {
		return out, nil
	}
	if err := b.fetchKeys(ctx); err != nil {
		return nil, err
	}
	if err := b.throwAway(ctx, events); err != nil {
		return nil, err
	}
	b.nonces = slices.Grow(b.nonces[:0], nonceSize*len(b.sites))[:nonceSize*len(b.sites)]
	_, _ = rand.Read(b.nonces) // never fails (crypto/rand)
	made := make([]sealed, b.withSites)
	for from, n := 0, 0; from < len(b.sites); n++ {
		to := from + 1
		for to < len(b.sites) && b.sites[to].event == b.sites[from].event {
			to++
		}
		at := b.sites[from].event
		b.seal(&made[n], events[at].Event(), b.sites[from:to], b.nonces[from*nonceSize:])
		out[at].sealed = &made[n]
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
	subject  int         // an index into the batch's subjects
	thrown   *subjectKey // set where it is used in place of the subject's present key
}

// batch is the sealing of some events. Its fields are used again for the next batch: nothing of them may be in what is
// returned.
type batch struct {
	protector *Protector
	root      *roots
	hashes    hash.Hash // of subjects
	digests   *event.KeyedDigester
	tokens    map[*rule]hash.Hash

	sites     []site
	withSites int // how many events have some
	pointers  []byte
	numbers   map[string]int // of subjects
	subjects  []SubjectHash
	keys      []subjectKey // of the subjects
	nonces    []byte

	space, plain, sum []byte

	// of the event whose sites are looked for
	of      *event.Event
	at      int
	text    []byte
	inMeta  bool
	pointer []byte
	indices []int
	whose   []whose // by rule.whose
}

// whose remembers the subject that a path leads to.
type whose struct {
	of      *event.Event
	subject int
}

// batch returns an empty batch.
func (p *Protector) batch(root *roots) *batch {
	b, ok := p.spare.Get().(*batch)
	if !ok || b.root != root {
		b = newBatch(p, root)
	}
	return b
}

func newBatch(p *Protector, root *roots) *batch {
	return &batch{
		protector: p, root: root, numbers: map[string]int{}, tokens: map[*rule]hash.Hash{},
		hashes: hmac.New(sha256.New, root.subjects), digests: event.NewKeyedDigester(root.digests),
	}
}

// putBack keeps a batch for the next one, and lets go of all that it holds of events.
func (p *Protector) putBack(b *batch) {
	clear(b.sites)
	clear(b.numbers)
	clear(b.keys)
	clear(b.plain[:cap(b.plain)])
	clear(b.whose)
	b.sites, b.pointers, b.subjects, b.keys = b.sites[:0], b.pointers[:0], b.subjects[:0], b.keys[:0]
	b.of, b.text, b.withSites = nil, nil, 0
	p.spare.Put(b)
}

// find adds the sites of an event.
func (b *batch) find(i int, e *event.Event, t *typeRules) {
	b.of, b.at = e, i
	before := len(b.sites)
	b.text, b.inMeta, b.pointer = e.Payload, false, append(b.pointer[:0], "/payload"...)
	b.look(e.Payload, t.payload)
	b.text, b.inMeta, b.pointer = e.Metadata, true, append(b.pointer[:0], "/metadata"...)
	b.look(e.Metadata, t.metadata)
	if len(b.sites) > before {
		b.withSites++
	}
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
		left := len(n.members) // a name occurs once
		for name, member := range event.Members(value) {
			if next := n.members[string(name)]; next != nil {
				b.pointer = appendName(b.pointer, name)
				b.look(member, next)
				b.pointer = b.pointer[:back]
				if left--; left == 0 {
					break
				}
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

// subjectOf returns the number of whose value it is that was found.
func (b *batch) subjectOf(r *rule) int {
	if r.whose == eachItsOwn {
		return b.numberOf(r.subject.of(b.of, b.indices))
	}
	for len(b.whose) <= r.whose {
		b.whose = append(b.whose, whose{})
	}
	known := &b.whose[r.whose]
	if known.of != b.of {
		*known = whose{b.of, b.numberOf(r.subject.of(b.of, nil))}
	}
	return known.subject
}

// numberOf returns a subject's index.
func (b *batch) numberOf(subject string) int {
	n, ok := b.numbers[subject]
	if !ok {
		b.hashes.Reset()
		_, _ = b.hashes.Write([]byte(subject)) // never fails (hash.Hash)
		b.sum = b.hashes.Sum(b.sum[:0])
		n = len(b.subjects)
		b.subjects = append(b.subjects, SubjectHash(b.sum[:16]))
		b.numbers[subject] = n
	}
	return n
}

// fetchKeys fetches the subjects' keys, and makes those that there are not.
func (b *batch) fetchKeys(ctx context.Context) error {
	found, err := b.protector.keys.forSubjects(ctx, b.subjects)
	if err != nil {
		return err
	}
	for _, s := range b.subjects {
		b.keys = append(b.keys, found[s])
	}
	return nil
}

// throwAway gives values of records from before their subject was erased a key that nobody keeps.
func (b *batch) throwAway(ctx context.Context, events []event.Valid) error {
	var gone []WrappedKey
	thrown := map[int]*subjectKey{}
	for i := range b.sites {
		s := &b.sites[i]
		shredded := b.keys[s.subject].shredded
		if shredded.IsZero() {
			continue
		}
		if read := events[s.event].Raw().Time; read.IsZero() || !read.Before(shredded) {
			continue
		}
		if thrown[s.subject] == nil {
			id, secret := newKey()
			aead, err := newAEAD(secret)
			if err != nil {
				return err
			}
			thrown[s.subject] = &subjectKey{id: id, aead: aead}
			gone = append(gone, WrappedKey{ID: id, Subject: b.subjects[s.subject], By: b.root.by})
		}
		s.thrown = thrown[s.subject]
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

// padded returns the length that a value is sealed with.
func padded(size int) int { return (size + padding - 1) / padding * padding }

// seal seals the sites of an event, with a nonce each.
func (b *batch) seal(out *sealed, e *event.Event, sites []site, nonces []byte) {
	out.event, out.digest = *e, b.digests.Digest(e)
	inPayload, size := 0, 0
	for i := range sites {
		s := &sites[i]
		size += columnSize(padded(s.to-s.from)) + rowFormSize
		if s.thrown != nil { // nothing that would confirm a guess is kept either
			out.digest = event.Digest{event.SchemeErased}
		}
		if !s.inMeta {
			inPayload++ // they come first
		}
	}
	space := make([]byte, 0, size+len(e.Payload)+len(e.Metadata)) // mostly all of them fit
	for i := range sites {
		s := &sites[i]
		key := s.thrown
		if key == nil {
			key = &b.keys[s.subject]
		}
		value := s.of(e)[s.from:s.to]
		b.plain = append(b.plain[:0], value...)
		for len(b.plain)%padding != 0 {
			b.plain = append(b.plain, ' ')
		}
		b.space = bound(b.space[:0], e.ID, key.id, b.pointers[s.pointer[0]:s.pointer[1]])
		nonce := nonces[i*nonceSize:][:nonceSize]
		space = append(appendColumnHead(space, len(b.plain), key.id), nonce...)
		space = key.aead.Seal(space, nonce, b.plain, b.space)
		out.note(b, s, i, key.id, value)
	}
	out.column = space[:len(space):len(space)]
	if inPayload > 0 {
		out.event.Payload, space = appendRow(space, e.Payload, sites[:inPayload], 0)
	}
	if inPayload < len(sites) {
		out.event.Metadata, _ = appendRow(space, e.Metadata, sites[inPayload:], inPayload)
	}
}

// of returns the document that the value lies in.
func (s *site) of(e *event.Event) []byte {
	if s.inMeta {
		return e.Metadata
	}
	return e.Payload
}

// appendRow appends a document as the row has it, with the numbers from first on in the place of its values, and returns
// it and all of space.
func appendRow(space, text []byte, sites []site, first int) (row, _ []byte) {
	begin, last := len(space), 0
	for i := range sites {
		space = append(append(space, text[last:sites[i].from]...), sealedBegin...)
		space = append(appendInt(space, first+i), '}')
		last = sites[i].to
	}
	space = append(space, text[last:]...)
	return space[begin:len(space):len(space)], space
}

// note notes whose value was sealed, and what finds it.
func (s *sealed) note(b *batch, at *site, place int, key KeyID, value []byte) {
	if !slices.Contains(s.keys, key) {
		s.keys = append(s.keys, key)
	}
	if at.rule.search && isScalar(value) && at.thrown == nil { // nothing finds what nobody can open
		s.tokens = append(s.tokens, Token{key, b.tokenOf(at.rule, value), place})
	}
}
