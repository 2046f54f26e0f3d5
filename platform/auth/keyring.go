package auth

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// refetchPause is how soon an unknown key id, which anybody can send, may cause another fetch.
	refetchPause = 5 * time.Second

	// maxStale is how long keys are used that can't be read again. An issuer that is away for so long
	// hands out no tokens either; a key that it has withdrawn must not live on for ever.
	maxStale = time.Hour

	retryFirst = time.Second // after a failed read; doubled up to every()
)

// keyring holds the present key set and keeps it fresh.
type keyring struct {
	source source
	log    *slog.Logger
	now    func() time.Time

	mu       sync.Mutex // holds all below
	set      *keySet    // nil until the first successful read
	lastTry  time.Time
	fetching chan struct{} // closed when the fetch under way is over; nil where there is none
}

// current is the key set, or nil where there is none that may be used.
func (k *keyring) current() *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil || k.now().Sub(k.set.fetched) > maxStale {
		return nil
	}
	return k.set
}

// refetch reads the source again for a request that needs a key which is not there, unless that was done
// a moment ago. Requests that come while one reads wait for its result.
func (k *keyring) refetch(ctx context.Context) {
	k.mu.Lock()
	if busy := k.fetching; busy != nil {
		k.mu.Unlock()
		select {
		case <-busy:
		case <-ctx.Done():
		}
		return
	}
	recent := k.now().Sub(k.lastTry) < refetchPause
	k.mu.Unlock()
	if !recent {
		// One caller who leaves must not fail the fetch for the others.
		_ = k.fetch(context.WithoutCancel(ctx)) // run meets and logs the same fault
	}
}

// fetch reads the source once, unless that is being done already.
func (k *keyring) fetch(ctx context.Context) error {
	k.mu.Lock()
	if k.fetching != nil {
		k.mu.Unlock()
		return nil
	}
	done := make(chan struct{})
	k.fetching, k.lastTry = done, k.now()
	k.mu.Unlock()

	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	doc, err := k.source.read(ctx)
	var set *keySet
	if err == nil {
		set, err = parseKeySet(doc, k.now())
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.set = set
	}
	k.fetching = nil
	close(done)
	return err
}

// run keeps the keys fresh until ctx is cancelled.
func (k *keyring) run(ctx context.Context) {
	failing, pause := false, k.source.every()
	for {
		err := k.fetch(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			if failing {
				pause = min(2*pause, k.source.every())
			} else {
				k.log.Warn("the issuer's keys can't be read; trying on", slog.Any("error", err))
				failing, pause = true, retryFirst
			}
		default:
			if failing {
				k.log.Info("the issuer's keys can be read again")
			}
			failing, pause = false, k.source.every()
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
	}
}
