package erase

import (
	"context"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// stepEvery is the pause between two steps of an erasure that somebody waits for.
const stepEvery = 200 * time.Millisecond

// Finish carries an erasure out to its end, and returns it with its certificate. moved is told of each new state. A
// process with the role maintain may do the same meanwhile.
func (s *Service) Finish(ctx context.Context, id event.ID, moved func(store.ShredState)) (shred store.Shred, err error) {
	tick := time.NewTicker(stepEvery)
	defer tick.Stop()
	var (
		last   store.ShredState
		failed int // tries in a row
	)
	var numbered time.Time // how long the certificate's position is waited for: a notary gives it
	for {
		if shred, err = s.deps.Shreds.Get(ctx, id); err != nil {
			return shred, err
		}
		if shred.State != last {
			last = shred.State
			moved(last)
		}
		switch {
		case shred.State != store.ShredDone:
			if err = s.Advance(ctx, shred); err == nil {
				failed = 0
			} else if failed++; failed < maxFailed { // somebody may hold a lock for a while
				err = nil
			}
		case numbered.IsZero():
			numbered = s.deps.Now().Add(min(positionTime, s.deps.Settle)) // tests settle fast
		}
		if err != nil || shred.State == store.ShredDone && (shred.Certificate >= 0 || s.deps.Now().After(numbered)) {
			return shred, err
		}
		select {
		case <-ctx.Done():
			return shred, ctx.Err()
		case <-tick.C:
		}
	}
}

// maxFailed is how many tries in a row may fail.
const maxFailed = 25

// positionTime is how long the position of a certificate is waited for.
const positionTime = 5 * time.Second
