package protect

import (
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"audittrail/platform/errs"
)

// Keyring gives out keys. It keeps the wrapping keys in memory, and while it listens (Watch) some of the subjects'
// keys. It is safe for concurrent use. Whoever has one MUST Close it, or have Watch do so.
type Keyring struct {
	store KeyStore
	kek   func(ctx context.Context) (KEK, error)
	now   func() time.Time

	mu       sync.Mutex
	closed   bool
	loading  *loading // nil while nobody loads keys
	trouble  error    // of the last try to get keys that were not in memory
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
	cancel context.CancelFunc
	done   chan struct{} // closed once root and err are set
	root   *roots
	err    error
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
	if k.closed {
		defer k.mu.Unlock()
		return nil, away("load keys", errors.New("the program stops"))
	}
	l := k.loading
	if l == nil {
		trying, cancel := context.WithTimeout(context.WithoutCancel(ctx), loadTime)
		l = &loading{cancel: cancel, done: make(chan struct{})}
		k.loading = l
		go k.finish(trying, l)
	}
	k.mu.Unlock()
	select {
	case <-l.done:
		return l.root, l.err
	case <-ctx.Done():
		return nil, away("wait for the key service", ctx.Err())
	}
}

// Close ends a try to load keys, and waits for it. No other begins after it.
func (k *Keyring) Close() {
	k.mu.Lock()
	k.closed = true
	l := k.loading
	k.mu.Unlock()
	if l != nil {
		l.cancel()
		<-l.done
	}
}

// finish carries a try to load keys out.
func (k *Keyring) finish(ctx context.Context, l *loading) {
	defer l.cancel()
	l.root, l.err = k.read(ctx)
	k.mu.Lock()
	k.loading, k.trouble = nil, l.err
	k.mu.Unlock()
	close(l.done)
}

// Trouble returns why keys could not be had the last time that they were asked for and not in memory; nil while all is
// well.
func (k *Keyring) Trouble() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.trouble
}

// note remembers how a try to get keys ended. A caller that went away says nothing about the keys.
func (k *Keyring) note(ctx context.Context, err error) {
	if errors.Is(ctx.Err(), context.Canceled) {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.trouble = err
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

// reload loads the root again.
func (k *Keyring) reload(ctx context.Context) (*roots, error) {
	k.mu.Lock()
	seen := k.root
	k.mu.Unlock()
	return k.load(ctx, seen)
}
