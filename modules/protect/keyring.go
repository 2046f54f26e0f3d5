package protect

import (
	"bytes"
	"cmp"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"audittrail/platform/errs"
)

// Keyring gives out keys. It keeps the wrapping keys in memory, and while it listens (Watch) some of the subjects'
// keys. It is safe for concurrent use.
type Keyring struct {
	store KeyStore
	kek   func(ctx context.Context) (KEK, error)
	now   func() time.Time

	mu       sync.Mutex
	loading  *loading // nil while nobody loads keys
	trouble  error    // of the last try to load keys
	wrapping map[KeyID]cipher.AEAD
	root     *roots
	subjects generations[SubjectHash, subjectKey]
	ids      generations[KeyID, subjectKey]
	drops    int64     // how often all was forgotten: what was read before the last time is not kept
	heard    time.Time // all that was destroyed before is known here
}

// roots are the root's keys.
type roots struct {
	by                KeyID
	key               []byte
	subjects, digests []byte
}

// subjectKey is a key in memory; aead is nil if it is destroyed or altered.
type subjectKey struct {
	id       KeyID
	aead     cipher.AEAD
	altered  bool      // what is stored does not unwrap by the wrapping key that it names
	shredded time.Time // when the subject's last key was destroyed
}

// cachedKeys is how many keys a keyring holds of either kind, at most: about 1 KB each.
const cachedKeys = 16_384

// NewKeyring returns a keyring. kek opens the key-encryption key; it is called when wrapping keys are unwrapped or
// made, which happens at the start and after a rotation.
func NewKeyring(store KeyStore, kek func(ctx context.Context) (KEK, error)) *Keyring {
	return &Keyring{store: store, kek: kek, now: time.Now, wrapping: map[KeyID]cipher.AEAD{}}
}

var errKeysAway = errs.New(errs.Unavailable, "keys_unavailable", "the keys of sealed values can't be reached right now; try again later")

// away returns the error for keys that can't be had.
func away(what string, err error) error {
	return errKeysAway.Because(fmt.Errorf("%s: %w", what, err))
}

// Ready loads the root and the wrapping keys, and creates them in an empty database.
func (k *Keyring) Ready(ctx context.Context) error {
	_, err := k.loaded(ctx)
	return err
}

// loaded returns the root's keys.
func (k *Keyring) loaded(ctx context.Context) (*roots, error) {
	k.mu.Lock()
	root := k.root
	k.mu.Unlock()
	if root != nil {
		return root, nil
	}
	return k.load(ctx, nil)
}

// loading is a try to load keys.
type loading struct {
	done chan struct{} // closed once root and err are set
	root *roots
	err  error
}

// loadTime bounds a try to load keys. A slow key service may take seconds for each.
const loadTime = 30 * time.Second

// load loads the root and those wrapping keys that are not known yet. seen is the root that did not do. All callers wait
// for the same try, each for as long as it likes: a try goes on without them.
func (k *Keyring) load(ctx context.Context, seen *roots) (*roots, error) {
	k.mu.Lock()
	if k.root != nil && k.root != seen { // somebody else has loaded it meanwhile
		defer k.mu.Unlock()
		return k.root, nil
	}
	l := k.loading
	if l == nil {
		l = &loading{done: make(chan struct{})}
		k.loading = l
		go k.finish(context.WithoutCancel(ctx), l)
	}
	k.mu.Unlock()
	select {
	case <-l.done:
		return l.root, l.err
	case <-ctx.Done():
		return nil, away("wait for the key service", ctx.Err())
	}
}

// finish carries a try to load keys out.
func (k *Keyring) finish(ctx context.Context, l *loading) {
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	l.root, l.err = k.read(ctx)
	k.mu.Lock()
	k.loading, k.trouble = nil, l.err
	k.mu.Unlock()
	close(l.done)
}

// Trouble returns why keys could not be loaded the last time; nil while all is well.
func (k *Keyring) Trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}

// read reads the root and those wrapping keys that are not known yet.
func (k *Keyring) read(ctx context.Context) (*roots, error) {
	root, wrapping, ok, err := k.store.Root(ctx)
	if err == nil && !ok {
		if err = k.create(ctx); err == nil {
			root, wrapping, ok, err = k.store.Root(ctx)
		}
	}
	if err != nil {
		return nil, away("read wrapping keys", err)
	}
	if !ok {
		return nil, away("read wrapping keys", errors.New("there are none"))
	}
	known := map[KeyID]cipher.AEAD{}
	for _, w := range wrapping {
		k.mu.Lock()
		known[w.ID] = k.wrapping[w.ID]
		k.mu.Unlock()
		if known[w.ID] == nil {
			if known[w.ID], err = k.unwrapping(ctx, w); err != nil {
				if w.ID != root.By { // during a rotation the old or the new one is another key-encryption key's
					delete(known, w.ID)
					continue
				}
				return nil, away("unwrap a wrapping key", err)
			}
		}
	}
	by := known[root.By]
	if by == nil {
		return nil, away("unwrap the root key", errWrapped)
	}
	key, err := unwrap(by, root.Wrapped, whatRoot, KeyID{})
	if err != nil {
		return nil, away("unwrap the root key", err)
	}
	loaded := &roots{by: root.By, key: key, subjects: derive(key, "subject"), digests: derive(key, "digest")}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.root, k.wrapping = loaded, known
	return loaded, nil
}

// derive returns a key for one purpose.
func derive(root []byte, purpose string) []byte {
	mac := hmac.New(sha256.New, root)
	_, _ = mac.Write([]byte("audittrail/" + purpose)) // never fails (hash.Hash)
	return mac.Sum(nil)
}

// unwrapping returns the wrapping key, by the key-encryption key.
func (k *Keyring) unwrapping(ctx context.Context, w WrappingKey) (cipher.AEAD, error) {
	kek, err := k.kek(ctx)
	if err != nil {
		return nil, err
	}
	return openWrapping(ctx, kek, w)
}

// create makes the first wrapping key and root.
func (k *Keyring) create(ctx context.Context) error {
	w, aead, err := k.newWrappingKey(ctx)
	if err != nil {
		return err
	}
	_, key := newKey()
	return k.store.CreateRoot(ctx, Root{By: w.ID, Wrapped: wrap(aead, key, whatRoot, KeyID{})}, w)
}

func (k *Keyring) newWrappingKey(ctx context.Context) (WrappingKey, cipher.AEAD, error) {
	kek, err := k.kek(ctx)
	if err != nil {
		return WrappingKey{}, nil, err
	}
	id, key := newKey()
	wrapped, err := kek.Encrypt(ctx, key)
	if err != nil {
		return WrappingKey{}, nil, err
	}
	aead, err := newAEAD(key)
	return WrappingKey{ID: id, Wrapped: wrapped}, aead, err
}

// Hash returns the hash of a subject.
func (k *Keyring) Hash(ctx context.Context, subject string) (SubjectHash, error) {
	root, err := k.loaded(ctx)
	if err != nil {
		return SubjectHash{}, err
	}
	return root.hash(subject), nil
}

func (r *roots) hash(subject string) SubjectHash {
	mac := hmac.New(sha256.New, r.subjects)
	_, _ = mac.Write([]byte(subject)) // never fails (hash.Hash)
	return SubjectHash(mac.Sum(nil)[:16])
}

// forSubjects returns the subjects' keys, and creates those that there are not.
func (k *Keyring) forSubjects(ctx context.Context, subjects []SubjectHash) (map[SubjectHash]subjectKey, error) {
	found := make(map[SubjectHash]subjectKey, len(subjects))
	missing := k.cachedSubjects(subjects, found)
	if len(missing) == 0 {
		return found, nil
	}
	slices.SortFunc(missing, func(a, b SubjectHash) int { return bytes.Compare(a[:], b[:]) })
	missing = slices.Compact(missing)
	for try := range 3 { // a key may be destroyed between our creating and reading it
		k.mu.Lock()
		drops := k.drops
		k.mu.Unlock()
		known, err := k.store.Subjects(ctx, missing)
		if err != nil {
			return nil, away("read subjects' keys", err)
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
					return nil, away("create subjects' keys", errors.Join(err, again))
				}
			}
			continue
		}
		fresh := make(map[SubjectHash]subjectKey, len(known))
		for s, subject := range known {
			key, err := k.unwrapSubject(ctx, *subject.Key)
			if err != nil {
				return nil, err
			}
			key.shredded = subject.Shredded
			found[s], fresh[s] = key, key
		}
		k.keep(drops, nil, fresh)
		return found, nil
	}
	return nil, away("create subjects' keys", errors.New("they are destroyed as fast as they are made"))
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

// reload loads the root again.
func (k *Keyring) reload(ctx context.Context) (*roots, error) {
	k.mu.Lock()
	seen := k.root
	k.mu.Unlock()
	return k.load(ctx, seen)
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
	if err := k.Ready(ctx); err != nil {
		return nil, err
	}
	stored, err := k.store.Keys(ctx, missing)
	if err != nil {
		return nil, away("read keys", err)
	}
	fresh := make(map[KeyID]subjectKey, len(stored))
	for _, w := range stored {
		key, err := k.unwrapSubject(ctx, w)
		if key.altered { // that keeps nobody from reading others
			found[w.ID] = key
			continue
		}
		if err != nil {
			return nil, err
		}
		found[w.ID], fresh[w.ID] = key, key
	}
	k.keep(drops, fresh, nil)
	return found, nil
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
