package protect

import (
	"context"
	"crypto/cipher"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
)

// RotationStore keeps keys that are being wrapped anew. The store is [audittrail/modules/store.Rotation]. One rotation
// works at a time.
type RotationStore interface {
	Root(ctx context.Context) (root Root, wrapping []WrappingKey, ok bool, err error)
	// Begin stores a wrapping key, and the root wrapped by it, in place of the one that was read.
	Begin(ctx context.Context, to WrappingKey, root Root, from KeyID) error
	// Count returns how many subjects' keys there are that another wrapping key wraps, about.
	Count(ctx context.Context, except KeyID) (int64, error)
	// Next returns keys that another wrapping key wraps, with ids in (after, last], in the order of their ids.
	Next(ctx context.Context, except, after, last KeyID, limit int) ([]WrappedKey, error)
	// Rewrap stores keys that were wrapped anew. One that was destroyed since it was read MUST stay destroyed.
	Rewrap(ctx context.Context, keys []WrappedKey) error
	// Retire deletes all wrapping keys but one, and returns how many keys they still wrapped: anew wraps these. Nobody
	// makes a key meanwhile.
	Retire(ctx context.Context, except KeyID, anew func([]WrappedKey) error) (int, error)
	// EndOverlap deletes what the former key-encryption key wrapped, and reports whether there was anything.
	EndOverlap(ctx context.Context) (bool, error)
}

// Rotation replaces the wrapping key by a new one, under another key-encryption key.
type Rotation struct {
	Store    RotationStore
	From, To KEK

	Total, Done atomic.Int64 // subjects' keys
}

const (
	rotationBatch   = 5000
	rotationWorkers = 4
)

// ErrRotated says that the keys are wrapped under the present key-encryption key already.
var ErrRotated = errors.New("all keys are wrapped under encryption.kek_url already; to begin another rotation, end this one with --end first")

var errNoKeys = errors.New("there are no keys to rotate: nothing was sealed yet")

// Run wraps all keys anew, and deletes the former wrapping keys. It may run while others seal, open and erase. A run
// that was interrupted is carried on by the next one.
func (r *Rotation) Run(ctx context.Context) error {
	root, wrapping, ok, err := r.Store.Root(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("read wrapping keys: %w", err)
	case !ok:
		return errNoKeys
	}
	old := map[KeyID]cipher.AEAD{}
	var current cipher.AEAD // the root's, where the present key-encryption key opens it
	isOld := false
	for _, w := range wrapping {
		if key, err := openWrapping(ctx, r.To, w); err == nil && w.ID == root.By {
			current = key
		}
		key, err := openWrapping(ctx, r.From, w)
		if err != nil && (w.ID != root.By || current == nil) {
			return fmt.Errorf("a wrapping key can't be opened by --from: %w", err)
		}
		if err == nil {
			old[w.ID], isOld = key, isOld || w.WrappedBefore == nil
		}
	}
	if len(wrapping) == 1 || current == nil {
		if !isOld && current != nil {
			return ErrRotated
		}
		if root, current, err = r.begin(ctx, root, old[root.By]); err != nil {
			return err
		}
	}
	anew := wrapper{root.By, current, old}
	for range 2 { // the second time, what others made during the first
		if err := r.rewrap(ctx, anew); err != nil {
			return err
		}
	}
	last, err := r.Store.Retire(ctx, root.By, anew.all)
	if err != nil {
		return fmt.Errorf("delete the former wrapping key: %w", err)
	}
	r.Done.Add(int64(last))
	return nil
}

// wrapper wraps keys anew.
type wrapper struct {
	id  KeyID
	by  cipher.AEAD
	old map[KeyID]cipher.AEAD
}

func (w wrapper) all(keys []WrappedKey) error {
	for i := range keys {
		k := &keys[i]
		if k.Wrapped != nil {
			if w.old[k.By] == nil {
				return errWrapped
			}
			key, err := unwrap(w.old[k.By], k.Wrapped, whatSubject, k.ID)
			if err != nil {
				return err
			}
			k.Wrapped = wrap(w.by, key, whatSubject, k.ID)
		}
		k.By = w.id
	}
	return nil
}

func openWrapping(ctx context.Context, by KEK, w WrappingKey) (cipher.AEAD, error) {
	key, err := by.Decrypt(ctx, w.Wrapped)
	if err != nil && w.WrappedBefore != nil {
		key, err = by.Decrypt(ctx, w.WrappedBefore)
	}
	if err != nil {
		return nil, err
	}
	return newAEAD(key)
}

// begin makes the new wrapping key, and has it wrap the root.
func (r *Rotation) begin(ctx context.Context, root Root, by cipher.AEAD) (Root, cipher.AEAD, error) {
	secret, err := unwrap(by, root.Wrapped, whatRoot, KeyID{})
	if err != nil {
		return root, nil, err
	}
	id, key := newKey()
	aead, err := newAEAD(key)
	if err != nil {
		return root, nil, err
	}
	to := WrappingKey{ID: id}
	if to.Wrapped, err = r.To.Encrypt(ctx, key); err != nil {
		return root, nil, fmt.Errorf("wrap the new wrapping key by encryption.kek_url: %w", err)
	}
	if to.WrappedBefore, err = r.From.Encrypt(ctx, key); err != nil {
		return root, nil, fmt.Errorf("wrap the new wrapping key by --from: %w", err)
	}
	fresh := Root{By: id, Wrapped: wrap(aead, secret, whatRoot, KeyID{})}
	if err := r.Store.Begin(ctx, to, fresh, root.By); err != nil {
		return root, nil, fmt.Errorf("store the new wrapping key: %w", err)
	}
	return fresh, aead, nil
}

// rewrap wraps all keys that others than a wrapping key wrap.
func (r *Rotation) rewrap(ctx context.Context, anew wrapper) error {
	n, err := r.Store.Count(ctx, anew.id)
	if err != nil {
		return fmt.Errorf("count keys: %w", err)
	}
	r.Total.Store(r.Done.Load() + n)
	if n == 0 {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var working sync.WaitGroup
	for i := range rotationWorkers {
		after, last := endOf(256/rotationWorkers*i-1), endOf(256/rotationWorkers*(i+1)-1)
		working.Go(func() {
			if err := r.rewrapRange(ctx, anew, after, last); err != nil {
				cancel(err)
			}
		})
	}
	working.Wait()
	return context.Cause(ctx)
}

// endOf returns the last id that begins with a byte; -1 is before all.
func endOf(first int) (id KeyID) {
	if first < 0 {
		return id
	}
	for i := range id {
		id[i] = 255
	}
	id[0] = byte(first)
	return id
}

func (r *Rotation) rewrapRange(ctx context.Context, anew wrapper, after, last KeyID) error {
	for {
		keys, err := r.Store.Next(ctx, anew.id, after, last, rotationBatch)
		if err != nil {
			return fmt.Errorf("read keys: %w", err)
		}
		if len(keys) == 0 {
			return nil
		}
		after = keys[len(keys)-1].ID
		if err := anew.all(keys); err != nil {
			return err
		}
		if err := r.Store.Rewrap(ctx, keys); err != nil {
			return fmt.Errorf("store keys: %w", err)
		}
		r.Done.Add(int64(len(keys)))
	}
}
