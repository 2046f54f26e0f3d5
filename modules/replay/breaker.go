package replay

import (
	"context"
	"sync"
	"time"
)

// breakAfter is after how many failures in a row a target is left alone for a while.
const breakAfter = 5

// breaker lets nobody in for a while after some failures in a row, and then one alone, to try.
type breaker struct {
	least, most time.Duration // how long it stays closed to all

	mu       sync.Mutex
	failures int       // in a row
	until    time.Time // nobody before
	cooldown time.Duration
	probing  bool
	changed  chan struct{} // closed where somebody may try to enter
}

type breakerResult int

const (
	breakerTaken   breakerResult = iota // the target works
	breakerFailed                       // it does not
	breakerUnknown                      // it was not asked, or nobody waited for what it says
)

func newBreaker(p WebhookPatience) *breaker {
	return &breaker{least: 2 * p.LeastBackoff, most: 2 * p.MostBackoff, changed: make(chan struct{})}
}

// enter waits until the target may be asked. leave MUST be called after it.
func (b *breaker) enter(ctx context.Context) error {
	for {
		b.mu.Lock()
		long, changed := time.Until(b.until), b.changed
		if long <= 0 && (b.failures < breakAfter || !b.probing) {
			b.probing = b.failures >= breakAfter
			b.mu.Unlock()
			return ctx.Err()
		}
		b.mu.Unlock()
		if long <= 0 {
			long = time.Minute // until the one who tries has left
		}
		timer := time.NewTimer(long)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// leave notes how it went. after is how long the target wants to be left alone; 0 where it does not say. It reports
// whether nobody is let in now.
func (b *breaker) leave(how breakerResult, after time.Duration) (isOpen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.probing = false
	switch how {
	case breakerTaken:
		b.failures, b.cooldown = 0, 0
	case breakerFailed:
		if after > 0 {
			b.until = later(b.until, time.Now().Add(after))
			break // it works, and has enough
		}
		if b.failures++; b.failures >= breakAfter {
			b.cooldown = min(max(2*b.cooldown, b.least), b.most)
			b.until = later(b.until, time.Now().Add(b.cooldown))
		}
	}
	close(b.changed)
	b.changed = make(chan struct{})
	return time.Now().Before(b.until)
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
