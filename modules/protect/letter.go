package protect

import (
	"context"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"sync"
	"time"

	"audittrail/modules/event"
)

// Letters gives out the keys that dead letters are sealed with: nobody knows what is in a record that is no event, nor
// whose it is, so its value is sealed whole, under a key that is a new one each month.
type Letters struct {
	keys *Keyring

	mu    sync.Mutex
	noted KeyID // as a key of dead letters
}

// NewLetters returns Letters.
func NewLetters(keys *Keyring) *Letters { return &Letters{keys: keys} }

// LetterKey seals dead letters.
type LetterKey struct {
	ID   KeyID
	aead cipher.AEAD
}

// letterSubject is whose key a month's dead letters have. No subject of an event holds a NUL.
func letterSubject(t time.Time) string { return "\x00dead letters/" + t.UTC().Format("2006-01") }

// Key returns the key of dead letters that are received at a time.
func (l *Letters) Key(ctx context.Context, at time.Time) (*LetterKey, error) {
	hash, err := l.keys.Hash(ctx, letterSubject(at))
	if err != nil {
		return nil, err
	}
	found, err := l.keys.forSubjects(ctx, []SubjectHash{hash})
	if err != nil {
		return nil, err
	}
	key := found[hash]
	l.mu.Lock()
	noted := l.noted == key.id
	l.mu.Unlock()
	if !noted {
		utc := at.UTC()
		if err := l.keys.store.NoteLetterKey(ctx, key.id, time.Date(utc.Year(), utc.Month(), 1, 0, 0, 0, 0, time.UTC)); err != nil {
			return nil, away("note the key of dead letters", err)
		}
		l.mu.Lock()
		l.noted = key.id
		l.mu.Unlock()
	}
	return &LetterKey{key.id, key.aead}, nil
}

// Seal seals what is kept of a record's value; nil stays nil.
func (k *LetterKey) Seal(raw *event.Raw) []byte {
	if raw.Value == nil {
		return nil
	}
	out := make([]byte, nonceSize, nonceSize+len(raw.Value)+tagSize)
	_, _ = rand.Read(out) // never fails (crypto/rand)
	return k.aead.Seal(out, out, raw.Value, letterBound(k.ID, raw.Coordinates))
}

// letterBound is what a dead letter's value is bound to: its key and its record.
func letterBound(key KeyID, c event.Coordinates) []byte {
	b := append(append([]byte("dead letter"), key[:]...), c.TopicID[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(c.Partition))
	return binary.BigEndian.AppendUint64(b, uint64(c.Offset))
}

// OpenLetter opens a dead letter's value. It is nil once the key is destroyed, and where it does not open.
func (o *Opener) OpenLetter(ctx context.Context, id KeyID, c event.Coordinates, sealed []byte) ([]byte, error) {
	keys, err := o.keys.byID(ctx, []KeyID{id})
	if err != nil {
		return nil, err
	}
	key := keys[id]
	if key.aead == nil || len(sealed) < nonceSize {
		return nil, nil
	}
	value, err := key.aead.Open(nil, sealed[:nonceSize], sealed[nonceSize:], letterBound(id, c))
	if err != nil {
		return nil, nil //nolint:nilerr // it was altered, or is another record's
	}
	if value == nil {
		value = []byte{}
	}
	return value, nil
}
