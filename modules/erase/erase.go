// Package erase erases subjects: their key is destroyed, and with it every value that is sealed under it, while the
// history and its proofs stay as they are.
//
// The API and the command make a request (Request). A Service carries it out in steps, each of which may be repeated and
// may be done by several processes at once: the key is noted in the journal and destroyed, which all processes hear of;
// once batches that were sealed before are stored, a sweep deletes what tells of the values, and an entry of the access
// log says that it is done. Its proof is the certificate.
//
// No row, entry, log line or journal holds the subject itself: only a keyed hash of it.
package erase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

const (
	// settleTime is how long after the key is destroyed a process may still seal with it (protect's keyring), and some
	// seconds until what it sealed is in a transaction.
	settleTime = 15 * time.Second

	// maxSettle is how long transactions that may hold such events are waited for. What is stored even later, by a
	// process that was stopped or cut off for long, is swept later too (Worker).
	maxSettle = time.Minute

	// sweepEvents is how many events one statement sweeps.
	sweepEvents = 1000

	// sweepTime is how long one step sweeps before others get their turn.
	sweepTime = 2 * time.Second
)

// Dependencies are what a Service works with.
type Dependencies struct {
	Shreds *store.Shreds       // on a pool of the role audittrail_maintain
	Keys   *store.KeyDestroyer // likewise, of the database of keys

	// Owners of the event store and of the database of keys, which vacuum; nil: autovacuum will.
	Owner, KeysOwner *pgxpool.Pool

	Journal *Journal // nil: there is none
	Log     *slog.Logger
	Done    func()           // is told of each erasure that this process finishes; may be nil
	Now     func() time.Time // nil: time.Now
	Settle  time.Duration    // 0: settleTime
}

// Service carries out erasures. One goroutine at a time may advance an erasure; other processes may do so too.
type Service struct {
	deps Dependencies

	mu      sync.Mutex
	seen    map[event.ID]*progress
	running sync.WaitGroup // vacuums
}

// progress is what a process remembers of an erasure. One that starts anew waits anew.
type progress struct {
	since    time.Time // when its key was destroyed, or was found to be
	youngest int64     // transaction once the time to settle was over; 0 before
	vacuum   chan bool // whether it went well; nil until all is swept
}

// NewService makes a Service.
func NewService(deps Dependencies) *Service {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.Settle == 0 {
		deps.Settle = settleTime
	}
	return &Service{deps: deps, seen: map[event.ID]*progress{}}
}

// Advance takes the next step of an erasure. A step takes a few seconds at most.
func (s *Service) Advance(ctx context.Context, shred store.Shred) error {
	switch shred.State {
	case store.ShredRequested:
		return s.destroy(ctx, shred)
	case store.ShredErased:
		return s.sweep(ctx, shred)
	}
	return nil
}

// Close waits for what runs in the background, which ends with the contexts of Advance.
func (s *Service) Close() { s.running.Wait() }

func (s *Service) progress(id event.ID) *progress {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[id] == nil {
		s.seen[id] = &progress{since: s.deps.Now()}
	}
	return s.seen[id]
}

// forget forgets an erasure that is done.
func (s *Service) forget(id event.ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, id)
	if s.deps.Done != nil {
		s.deps.Done()
	}
}

// errElsewhere says that the keys are not in the database that this process has for theirs.
var errElsewhere = errors.New("the key that a subject had when its erasure was requested is not in this database of keys: is encryption.keys_url the same in all processes?")

// destroy destroys the subject's key. The journal has it first: what a backup brings back must not open again.
func (s *Service) destroy(ctx context.Context, shred store.Shred) error {
	key, now, err := s.deps.Keys.Key(ctx, shred.Subject)
	if err != nil {
		return err
	}
	at, listed := now, []protect.KeyID(nil)
	if shred.Restored {
		at, listed = shred.ErasedAt, append([]protect.KeyID{}, shred.Keys...)
	} else if err := s.checkDatabase(ctx, shred, key); err != nil {
		return err
	}
	entry := Entry{Shred: shred.ID, Subject: shred.Subject, Keys: shred.Keys, At: at}
	if key != nil && !shred.Restored {
		entry.Keys = []protect.KeyID{*key}
	}
	if err := s.deps.Journal.Append(entry); err != nil {
		return fmt.Errorf("the journal can't be written, so nothing was destroyed: %w", err)
	}
	if s.deps.Journal == nil {
		s.deps.Log.WarnContext(ctx, "no journal notes this erasure: set encryption.journal, or a restored backup brings the subject back", slog.String("shred", shred.ID.String()))
	}
	destroyed, earlier, err := s.deps.Keys.Destroy(ctx, shred.Subject, at, listed)
	if err != nil {
		return err
	}
	keys := union(shred.Keys, destroyed)
	if !shred.Restored && len(union(entry.Keys, destroyed)) > len(entry.Keys) { // one was made in between
		entry.Keys = destroyed
		if err := s.deps.Journal.Append(entry); err != nil {
			s.deps.Log.ErrorContext(ctx, "the journal lacks a key that is destroyed", slog.Any("error", err), slog.String("shred", shred.ID.String()))
		}
	}
	if shred.Restored { // this very erasure
		earlier = shred.Earlier
	}
	s.progress(shred.ID)
	return s.deps.Shreds.Erased(ctx, shred.ID, at, earlier, keys)
}

// checkDatabase sees whether the key that the request saw is, or was, in this database of keys.
func (s *Service) checkDatabase(ctx context.Context, shred store.Shred, key *protect.KeyID) error {
	found, err := parseFound(shred.Found)
	if err != nil || found.KeySince == "" || key != nil {
		return err
	}
	erased, err := s.deps.Keys.Erased(ctx, []protect.SubjectHash{shred.Subject})
	if err == nil && erased[shred.Subject].Before(shred.At.Add(-maxSkew)) {
		err = errElsewhere
	}
	return err
}

// maxSkew is how far the clocks of two machines may be apart.
const maxSkew = 5 * time.Minute

// sweep deletes what tells of the erased values: at once, and again once what was sealed before is stored.
func (s *Service) sweep(ctx context.Context, shred store.Shred) error {
	p := s.progress(shred.ID)
	if p.vacuum != nil {
		return s.finish(ctx, shred, p)
	}
	settled, err := s.settled(ctx, p)
	if err != nil {
		return err
	}
	swept, err := s.sweepKeys(ctx, shred)
	if err == nil && settled && swept {
		p.vacuum = make(chan bool, 1)
		s.running.Go(func() { p.vacuum <- s.vacuum(ctx, shred) })
	}
	return err
}

// settled reports whether all that was sealed under the key is stored.
func (s *Service) settled(ctx context.Context, p *progress) (bool, error) {
	waited := s.deps.Now().Sub(p.since)
	if waited < s.deps.Settle {
		return false, nil
	}
	if p.youngest == 0 {
		youngest, err := s.deps.Shreds.Youngest(ctx)
		if err != nil {
			return false, err
		}
		p.youngest = youngest
	}
	oldest, err := s.deps.Shreds.Oldest(ctx)
	return oldest >= p.youngest || waited >= maxSettle, err
}

// sweepLate sweeps what was sealed before an erasure and stored after its sweep. The report counts it.
func (s *Service) sweepLate(ctx context.Context, shred store.Shred) error {
	s.deps.Log.WarnContext(ctx, "values that were sealed before an erasure were stored after it; they are swept", slog.String("shred", shred.ID.String()))
	swept, err := s.sweepKeys(ctx, shred)
	if err == nil && swept {
		s.running.Go(func() { s.vacuum(ctx, shred) })
	}
	return err
}

// sweepKeys sweeps for a while, and reports whether nothing is left.
func (s *Service) sweepKeys(ctx context.Context, shred store.Shred) (bool, error) {
	until := s.deps.Now().Add(sweepTime)
	for _, key := range shred.Keys {
		for {
			found, err := s.deps.Shreds.Sweep(ctx, shred.ID, key, sweepEvents)
			if err != nil {
				return false, err
			}
			if found.Events == 0 && found.Tokens == 0 {
				break
			}
			if s.deps.Now().After(until) {
				return false, nil
			}
		}
	}
	return true, nil
}

// vacuum frees the space of what was erased, as far as it may.
func (s *Service) vacuum(ctx context.Context, shred store.Shred) bool {
	well := true
	for _, at := range []struct {
		owner *pgxpool.Pool
		keys  bool
	}{{s.deps.Owner, false}, {s.deps.KeysOwner, true}} {
		if at.owner == nil {
			well = false
			continue
		}
		if err := store.VacuumErased(ctx, at.owner, at.keys); err != nil {
			well = false
			s.deps.Log.WarnContext(ctx, "the space of what was erased could not be freed: autovacuum will", slog.Any("error", err), slog.String("shred", shred.ID.String()))
		}
	}
	return well
}

// finish writes the certificate, once the vacuum is done.
func (s *Service) finish(ctx context.Context, shred store.Shred, p *progress) error {
	select {
	case well := <-p.vacuum:
		p.vacuum <- well // for another try
		at := s.deps.Now()
		entry, err := access.Erasure{ID: shred.ID, Subject: shred.Subject, Principal: shred.By}.Done(at, shred.Keys, shred.Swept.Events)
		if err != nil {
			return err
		}
		if err := s.deps.Shreds.Finish(ctx, shred.ID, at, well, entry); err != nil {
			return err
		}
		s.forget(shred.ID)
		s.deps.Log.InfoContext(ctx, "a subject was erased", slog.String("shred", shred.ID.String()), slog.Int64("events", shred.Swept.Events))
	default:
	}
	return nil
}

func union(a, b []protect.KeyID) []protect.KeyID {
	out := slices.Clone(a)
	for _, key := range b {
		if !slices.Contains(out, key) {
			out = append(out, key)
		}
	}
	return out
}
