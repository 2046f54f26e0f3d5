package store

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"time"

	"audittrail/modules/event"
)

// Events are kept that were asked for by their ids, in the form in which they are stored: sealed values as ciphertext,
// which is opened for each reader anew, so an erasure is seen at once. A key has the scope for which the event was
// read, so nobody gets an event by a scope that hides it. Whoever reads or writes the cache learns no event and forges
// none: values are encrypted, and bound to their key.

// mostCachedEvent is how long an event may be to be kept, in bytes.
const mostCachedEvent = 32 << 10

// cachedRow is row by way of the cache.
func (r *Reader) cachedRow(ctx context.Context, id event.ID) (row, error) {
	// Evidence is of what the database has now. Who has no scope is refused by row.
	if formOf(ctx).stored || r.scoped && scopesOf(ctx) == nil {
		return r.row(ctx, id)
	}
	secret := r.cacheSecret(ctx)
	if secret == nil {
		return r.row(ctx, id)
	}
	key := eventKey(secret, id, scopesOf(ctx))
	if found, ok := openRow(secret, key, r.cached.cache.Get(ctx, CachedEvents, []string{key})[key]); ok && seatOf(ctx).mayShow(found.stored.Position) {
		return found, nil
	}
	found, err := r.row(ctx, id)
	if err == nil && found.size() <= mostCachedEvent {
		r.cached.cache.Set(key, sealRow(secret, key, &found))
	}
	return found, err
}

// mayShow reports whether an answer may be an event that no server was asked for: not where the caller wants a server
// with a later position. All further reads need a server that has the event.
func (s *Seat) mayShow(position int64) bool {
	if s != nil && s.least > position {
		return false
	}
	s.raise(position)
	return true
}

func eventKey(secret []byte, id event.ID, of scopes) string {
	return keyspace(secret) + "event:" + id.String() + ":" + hex.EncodeToString(mac(secret, "scope", of.fingerprint())[:16])
}

// rowCipher encrypts rows. Its key is of nothing else.
func rowCipher(secret []byte) cipher.AEAD {
	block, err := aes.NewCipher(mac(secret, "events", nil))
	if err != nil {
		panic(err) // a MAC is as long as a key
	}
	sealing, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES has the block size
	}
	return sealing
}

func sealRow(secret []byte, key string, r *row) []byte {
	sealing := rowCipher(secret)
	nonce := make([]byte, sealing.NonceSize(), sealing.NonceSize()+r.size()+sealing.Overhead())
	_, _ = rand.Read(nonce) // never fails
	return sealing.Seal(nonce, nonce, rowBytes(r), []byte(key))
}

// openRow returns false for whatever sealRow did not make for this key.
func openRow(secret []byte, key string, value []byte) (row, bool) {
	sealing := rowCipher(secret)
	if len(value) < sealing.NonceSize() {
		return row{}, false
	}
	nonce, rest := value[:sealing.NonceSize()], value[sealing.NonceSize():]
	plain, err := sealing.Open(nil, nonce, rest, []byte(key))
	if err != nil {
		return row{}, false
	}
	return parseRow(plain)
}

// rowForm is the form of a row that rowBytes writes; another form needs another number, since processes of two versions
// share a cache.
const rowForm = 1

// rowBytes writes whole numbers as varints, and texts behind their lengths.
func rowBytes(r *row) []byte {
	e := &r.stored
	b := append(make([]byte, 0, r.size()), rowForm)
	sealed := int64(0)
	if r.sealed {
		sealed = 1
	}
	for _, n := range []int64{
		sealed, r.id, e.Position, e.Timestamp.UnixMicro(), e.RecordedAt.UnixMicro(), int64(e.Version), int64(e.Kafka.Partition), e.Kafka.Offset,
	} {
		b = binary.AppendVarint(b, n)
	}
	b = append(append(b, e.ID[:]...), e.Salt[:]...)
	for _, text := range []string{e.Type, e.AggregateType, e.AggregateID, e.Kafka.Topic, string(e.Payload), string(e.Metadata)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return b
}

// parseRow returns false for what rowBytes does not write.
func parseRow(b []byte) (r row, ok bool) {
	p := rowParser{rest: b}
	if form := p.take(1); p.failed || form[0] != rowForm {
		return row{}, false
	}
	e := &r.stored
	r.sealed = p.number() == 1
	r.id, e.Position = p.number(), p.number()
	e.Timestamp, e.RecordedAt = time.UnixMicro(p.number()).UTC(), time.UnixMicro(p.number()).UTC()
	e.Version, e.Kafka.Partition, e.Kafka.Offset = int32(p.number()), int32(p.number()), p.number()
	copy(e.ID[:], p.take(uint64(len(e.ID))))
	copy(e.Salt[:], p.take(uint64(len(e.Salt))))
	e.Type, e.AggregateType, e.AggregateID, e.Kafka.Topic = string(p.text()), string(p.text()), string(p.text()), string(p.text())
	e.Payload, e.Metadata = p.text(), p.text()
	return r, !p.failed && len(p.rest) == 0
}

// rowParser reads a row from the front. Once it has failed it reads nothing.
type rowParser struct {
	rest   []byte
	failed bool
}

func (p *rowParser) take(n uint64) []byte {
	if p.failed = p.failed || n > uint64(len(p.rest)); p.failed {
		return nil
	}
	taken := p.rest[:n:n]
	p.rest = p.rest[n:]
	return taken
}

func (p *rowParser) number() int64 {
	n, length := binary.Varint(p.rest)
	if p.failed = p.failed || length <= 0; p.failed {
		return 0
	}
	p.rest = p.rest[length:]
	return n
}

func (p *rowParser) text() []byte {
	n, length := binary.Uvarint(p.rest)
	if p.failed = p.failed || length <= 0; p.failed {
		return nil
	}
	p.rest = p.rest[length:]
	return p.take(n)
}
