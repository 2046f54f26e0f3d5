package protect

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
)

// cachedKeys is how many keys a keyring holds of either kind, at most: about 1 KB each.
const cachedKeys = 16_384

// forSubjects returns the subjects' keys, and creates those that there are not.
func (k *Keyring) forSubjects(ctx context.Context, subjects []SubjectHash) (map[SubjectHash]subjectKey, error) {
	found := make(map[SubjectHash]subjectKey, len(subjects))
	missing := k.cachedSubjects(subjects, found)
	if len(missing) == 0 {
		return found, nil
	}
	slices.SortFunc(missing, func(a, b SubjectHash) int { return bytes.Compare(a[:], b[:]) })
	err := k.fetchSubjects(ctx, slices.Compact(missing), found)
	k.note(ctx, err)
	return found, err
}

// fetchSubjects adds the keys of subjects, which MUST be sorted, from the store, and creates those that there are not.
func (k *Keyring) fetchSubjects(ctx context.Context, missing []SubjectHash, found map[SubjectHash]subjectKey) error {
	for try := range 3 { // a key may be destroyed between our creating and reading it
		k.mu.Lock()
		drops := k.drops
		k.mu.Unlock()
		known, err := k.store.Subjects(ctx, missing)
		if err != nil {
			return away("read subjects' keys", err)
		}
		var created []SubjectHash
		for _, s := range missing {
			if known[s].Key == nil {
				created = append(created, s)
			}
		}
		if len(created) > 0 {
			if err := k.createKeys(ctx, created); err != nil {
				if _, again := k.reload(ctx); again != nil || try > 0 { // the wrapping key may have been rotated
					return away("create subjects' keys", errors.Join(err, again))
				}
			}
			continue
		}
		fresh := make(map[SubjectHash]subjectKey, len(known))
		for s, subject := range known {
			key, err := k.unwrapSubject(ctx, *subject.Key)
			if err != nil {
				return err
			}
			key.shredded = subject.Shredded
			found[s], fresh[s] = key, key
		}
		k.keep(drops, nil, fresh)
		return nil
	}
	return away("create subjects' keys", errors.New("they are destroyed as fast as they are made"))
}

// cachedSubjects moves what is in memory into found, and returns the rest.
func (k *Keyring) cachedSubjects(subjects []SubjectHash, found map[SubjectHash]subjectKey) (missing []SubjectHash) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.distrust()
	for _, s := range subjects {
		if key, ok := k.subjects.get(s); ok {
			found[s] = key
		} else if _, done := found[s]; !done {
			missing = append(missing, s)
		}
	}
	return missing
}

func (k *Keyring) createKeys(ctx context.Context, subjects []SubjectHash) error {
	root, err := k.loaded(ctx)
	if err != nil {
		return err
	}
	k.mu.Lock()
	by := k.wrapping[root.by]
	k.mu.Unlock()
	keys := make([]WrappedKey, len(subjects))
	for i, s := range subjects {
		id, key := newKey()
		keys[i] = WrappedKey{ID: id, Subject: s, By: root.by, Wrapped: wrap(by, key, whatSubject, id)}
	}
	return k.store.CreateKeys(ctx, keys)
}

// unwrapSubject makes a stored key usable.
func (k *Keyring) unwrapSubject(ctx context.Context, w WrappedKey) (subjectKey, error) {
	if w.Wrapped == nil {
		return subjectKey{id: w.ID}, nil
	}
	for try := 0; ; try++ {
		k.mu.Lock()
		by := k.wrapping[w.By]
		k.mu.Unlock()
		if by == nil && try == 0 {
			if _, err := k.reload(ctx); err != nil {
				return subjectKey{}, err
			}
			continue
		}
		if by == nil {
			return subjectKey{}, away("unwrap a key", errors.New("its wrapping key is another key-encryption key's"))
		}
		key, err := unwrap(by, w.Wrapped, whatSubject, w.ID)
		if err != nil {
			return subjectKey{id: w.ID, altered: true}, away("unwrap a key", err)
		}
		aead, err := newAEAD(key)
		return subjectKey{id: w.ID, aead: aead}, err
	}
}

// byID returns keys by their ids; unknown ones are left out.
func (k *Keyring) byID(ctx context.Context, ids []KeyID) (map[KeyID]subjectKey, error) {
	found := make(map[KeyID]subjectKey, len(ids))
	var missing []KeyID
	k.mu.Lock()
	k.distrust()
	drops := k.drops
	for _, id := range ids {
		if key, ok := k.ids.get(id); ok {
			found[id] = key
		} else {
			missing = append(missing, id)
		}
	}
	k.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	err := k.fetchKeys(ctx, missing, drops, found)
	k.note(ctx, err)
	return found, err
}

// fetchKeys adds keys from the store. drops is how often all had been forgotten before it is asked.
func (k *Keyring) fetchKeys(ctx context.Context, missing []KeyID, drops int64, found map[KeyID]subjectKey) error {
	if err := k.Ready(ctx); err != nil {
		return err
	}
	stored, err := k.store.Keys(ctx, missing)
	if err != nil {
		return away("read keys", err)
	}
	fresh := make(map[KeyID]subjectKey, len(stored))
	for _, w := range stored {
		key, err := k.unwrapSubject(ctx, w)
		if key.altered { // that keeps nobody from reading others
			found[w.ID] = key
			continue
		}
		if err != nil {
			return err
		}
		found[w.ID], fresh[w.ID] = key, key
	}
	k.keep(drops, fresh, nil)
	return nil
}

// keep keeps keys in memory, unless all was forgotten since they were read.
func (k *Keyring) keep(drops int64, keys map[KeyID]subjectKey, subjects map[SubjectHash]subjectKey) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.distrust()
	if k.drops != drops || k.heard.IsZero() {
		return
	}
	for id, key := range keys {
		k.ids.put(id, key)
	}
	for s, key := range subjects {
		k.subjects.put(s, key)
	}
}

// generations is a map that forgets what was not asked for lately.
type generations[K comparable, V any] struct{ young, old map[K]V }

func (g *generations[K, V]) get(key K) (V, bool) {
	v, ok := g.young[key]
	if !ok {
		if v, ok = g.old[key]; ok {
			g.put(key, v)
		}
	}
	return v, ok
}

func (g *generations[K, V]) put(key K, v V) {
	if g.young == nil || len(g.young) >= cachedKeys/2 {
		g.young, g.old = make(map[K]V, cmp.Or(min(len(g.young), cachedKeys/2), 16)), g.young
	}
	g.young[key] = v
}
