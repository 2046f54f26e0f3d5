package auth

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// refetchPause is how soon an unknown key id, which anybody can send, may cause another fetch.
	refetchPause = 5 * time.Second

	// maxStale is how long keys are used that can't be read again. An issuer that is away for so long
	// hands out no tokens either; a key that it has withdrawn must not live on for ever.
	maxStale = time.Hour

	// maxWaiting is how many requests wait for a fetch. Anybody can send an unknown key id; while the
	// issuer is slow, such requests must not take all places.
	maxWaiting = 32

	retryFirst = time.Second // after a failed read; doubled up to every()
)

var errTooManyWait = errors.New("too many requests wait for the issuer's keys")

// keyring holds the present key set and keeps it fresh.
type keyring struct {
	source source
	log    *slog.Logger
	now    func() time.Time

	waiting atomic.Int32 // requests in refetch

	mu   sync.Mutex // holds all below
	set  *keySet    // nil until the first successful read; the same one while the issuer publishes the same
	read time.Time  // when set was last found to be what the issuer publishes
	last *attempt   // nil before the first
}

// attempt is one reading of the source.
type attempt struct {
	begun time.Time
	done  chan struct{} // closed when it is over
	err   error         // to be read after that
}

// current is the key set, or nil where there is none that may be used.
func (k *keyring) current() *keySet {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.set == nil || k.now().Sub(k.read) > maxStale {
		return nil
	}
	return k.set
}

// refetch reads the source again for a request that needs a key which is not there, unless that was done
// a moment ago. Requests that come while one reads wait for its result. It returns an error where the last
// reading failed, or too many wait already: a key that is not there may exist all the same.
func (k *keyring) refetch(ctx context.Context) error {
	defer k.waiting.Add(-1)
	if k.waiting.Add(1) > maxWaiting {
		return errTooManyWait
	}
	// One caller who leaves must not fail the fetch for the others. run meets and logs the same fault.
	return k.fetch(context.WithoutCancel(ctx), refetchPause)
}

// fetch reads the source once, unless the last try was less than pause ago. Where it is being read
// already, fetch waits for that. The answer is what the last try met.
func (k *keyring) fetch(ctx context.Context, pause time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	last, mine := k.begin(pause)
	if !mine {
		select {
		case <-last.done:
			return last.err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	doc, err := k.source.read(ctx)
	var set *keySet
	if err == nil {
		set, err = parseKeySet(doc)
	}

	k.mu.Lock()
	defer k.mu.Unlock()
	if err == nil {
		k.read = k.now()
		if k.set == nil || !bytes.Equal(k.set.doc, doc) { // another set ends what was accepted by the one before
			k.set = set
		}
	}
	last.err = err
	close(last.done)
	return err
}

// begin answers the try that is under way or was made less than pause ago, or a new one that the caller
// has to carry out.
func (k *keyring) begin(pause time.Duration) (t *attempt, mine bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if t := k.last; t != nil {
		select {
		case <-t.done:
			if k.now().Sub(t.begun) < pause {
				return t, false
			}
		default:
			return t, false
		}
	}
	k.last = &attempt{done: make(chan struct{}), begun: k.now()}
	return k.last, true
}

// run keeps the keys fresh until ctx is cancelled.
func (k *keyring) run(ctx context.Context) {
	failing, pause := false, k.source.every()
	for {
		err := k.fetch(ctx, 0)
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
