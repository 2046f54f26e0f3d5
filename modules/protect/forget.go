package protect

import (
	"context"
	"time"
)

const (
	// trusted is how long keys are kept in memory after the database of keys was last heard from: it tells of keys
	// that are destroyed, and whoever can't hear it must not go on using them.
	trusted = 8 * time.Second

	// listenEvery is how often a lost connection is tried again.
	listenEvery = time.Second
)

// Announcements are what a keyring is told of. They may be called at any time, but not concurrently.
type Announcements struct {
	Destroyed func()             // a key was destroyed, or may have been
	Heard     func(at time.Time) // all that was destroyed before a moment has been told
}

// Watch has the keyring forget keys when one is destroyed, by whatever process, until ctx is cancelled. listen tells of
// it, and of that it still listens, every few seconds; it ends with an error. See [audittrail/modules/store.Keys]. In the
// end it closes the keyring.
func (k *Keyring) Watch(ctx context.Context, listen func(context.Context, Announcements) error) {
	defer k.Close()
	for ctx.Err() == nil {
		_ = listen(ctx, Announcements{Destroyed: k.Forget, Heard: k.hear}) // keys are not kept meanwhile
		select {
		case <-ctx.Done():
		case <-time.After(listenEvery):
		}
	}
}

// Forget drops all keys of subjects from memory: one of them may have been destroyed.
func (k *Keyring) Forget() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.forget()
}

func (k *Keyring) hear(at time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.heard = at
}

// distrust forgets all if nothing was heard for too long. Every look into memory begins with it, so that a process that
// was stopped for a while uses no key from before. k.mu MUST be held.
func (k *Keyring) distrust() {
	if !k.heard.IsZero() && k.now().Sub(k.heard) > trusted {
		k.heard = time.Time{}
		k.forget()
	}
}

// forget drops all keys of subjects. k.mu MUST be held.
func (k *Keyring) forget() {
	k.drops++
	k.subjects, k.ids = generations[SubjectHash, subjectKey]{}, generations[KeyID, subjectKey]{}
}
