package protect

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"time"
)

// KeySize is the size of every key.
const KeySize = 32

// KeyID names a key of a subject. It is random, and says nothing of the subject.
type KeyID [16]byte

// SubjectHash is a keyed hash of a subject: the store of keys does not hold subjects themselves.
type SubjectHash [16]byte

// KEK wraps wrapping keys. It is a key service, which may be away.
type KEK interface {
	Encrypt(ctx context.Context, plain []byte) ([]byte, error)
	Decrypt(ctx context.Context, wrapped []byte) ([]byte, error)
}

// WrappingKey wraps other keys, and is itself wrapped by the key-encryption key.
type WrappingKey struct {
	ID            KeyID
	Wrapped       []byte
	WrappedBefore []byte // by the former key-encryption key, for processes that have no other yet; nil after a rotation
}

// Root is the key from which those of hashes are derived. It outlives rotations.
type Root struct {
	By      KeyID // the wrapping key; new keys are wrapped by the same
	Wrapped []byte
}

// WrappedKey is a key as it is stored.
type WrappedKey struct {
	ID      KeyID
	Subject SubjectHash
	By      KeyID  // the wrapping key
	Wrapped []byte // nil once the key is destroyed
}

// Subject is what the store knows of a subject.
type Subject struct {
	Key      *WrappedKey // nil if there is none
	Shredded time.Time   // when its last key was destroyed; zero if never
}

// KeyStore keeps wrapped keys. The store is [audittrail/modules/store.Keys].
type KeyStore interface {
	// Root returns the root and all wrapping keys; ok is false if there is none yet.
	Root(ctx context.Context) (root Root, wrapping []WrappingKey, ok bool, err error)
	// CreateRoot stores the first root and wrapping key, unless another process was first.
	CreateRoot(ctx context.Context, root Root, wrapping WrappingKey) error
	// Subjects returns what is known of subjects; those without a key and never shredded are left out.
	Subjects(ctx context.Context, subjects []SubjectHash) (map[SubjectHash]Subject, error)
	// CreateKeys stores keys of subjects that have none. Of two processes that create one subject's key, one is
	// first, and the other's is not stored. Keys MUST be sorted by subject.
	CreateKeys(ctx context.Context, keys []WrappedKey) error
	// Keys returns keys by their ids; unknown ones are left out.
	Keys(ctx context.Context, ids []KeyID) ([]WrappedKey, error)
	// NoteLetterKey notes that a key is that of a month's dead letters, by which it is destroyed in time.
	NoteLetterKey(ctx context.Context, id KeyID, month time.Time) error
}

// sizes around an encrypted value.
const (
	nonceSize = 12
	tagSize   = 16
)

func newAEAD(key []byte) (cipher.AEAD, error) {
	if len(key) != KeySize {
		return nil, fmt.Errorf("a key has %d bytes, not %d", len(key), KeySize)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// wrap encrypts a key. what is bound to it: a wrapped key that is copied to another place does not unwrap.
func wrap(by cipher.AEAD, key []byte, what string, id KeyID) []byte {
	nonce := make([]byte, nonceSize, nonceSize+len(key)+tagSize)
	_, _ = rand.Read(nonce) // never fails (crypto/rand)
	return by.Seal(nonce, nonce, key, append([]byte(what), id[:]...))
}

var errWrapped = errors.New("a stored key does not fit its wrapping key: it was altered, or belongs to another database")

func unwrap(by cipher.AEAD, wrapped []byte, what string, id KeyID) ([]byte, error) {
	if len(wrapped) < nonceSize {
		return nil, errWrapped
	}
	key, err := by.Open(nil, wrapped[:nonceSize], wrapped[nonceSize:], append([]byte(what), id[:]...))
	if err != nil {
		return nil, errWrapped
	}
	return key, nil
}

// What is wrapped.
const (
	whatRoot    = "root"
	whatSubject = "subject"
)

func newKey() (id KeyID, key []byte) {
	key = make([]byte, KeySize)
	_, _ = rand.Read(id[:]) // never fails (crypto/rand)
	_, _ = rand.Read(key)
	return id, key
}
