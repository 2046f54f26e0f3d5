package protecttest

import (
	"context"
	"sync"
	"time"

	"audittrail/modules/protect"
)

// Keys is a protect.KeyStore in memory, which loses no key. It is safe for concurrent use.
type Keys struct {
	mu       sync.Mutex
	root     protect.Root
	wrapping []protect.WrappingKey
	subjects map[protect.SubjectHash]protect.WrappedKey
}

// Root implements protect.KeyStore.
func (k *Keys) Root(context.Context) (protect.Root, []protect.WrappingKey, bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.root, k.wrapping, len(k.wrapping) > 0, nil
}

// CreateRoot implements protect.KeyStore.
func (k *Keys) CreateRoot(_ context.Context, root protect.Root, wrapping protect.WrappingKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.wrapping) == 0 {
		k.root, k.wrapping = root, []protect.WrappingKey{wrapping}
	}
	return nil
}

// Subjects implements protect.KeyStore.
func (k *Keys) Subjects(_ context.Context, subjects []protect.SubjectHash) (map[protect.SubjectHash]protect.Subject, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found := map[protect.SubjectHash]protect.Subject{}
	for _, s := range subjects {
		if key, ok := k.subjects[s]; ok {
			found[s] = protect.Subject{Key: &key}
		}
	}
	return found, nil
}

// CreateKeys implements protect.KeyStore.
func (k *Keys) CreateKeys(_ context.Context, keys []protect.WrappedKey) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.subjects == nil {
		k.subjects = map[protect.SubjectHash]protect.WrappedKey{}
	}
	for _, key := range keys {
		if _, ok := k.subjects[key.Subject]; !ok {
			k.subjects[key.Subject] = key
		}
	}
	return nil
}

// Keys implements protect.KeyStore.
func (k *Keys) Keys(_ context.Context, ids []protect.KeyID) (found []protect.WrappedKey, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range k.subjects {
		for _, id := range ids {
			if key.ID == id {
				found = append(found, key)
			}
		}
	}
	return found, nil
}

// NoteLetterKey implements protect.KeyStore.
func (*Keys) NoteLetterKey(context.Context, protect.KeyID, time.Time) error { return nil }
