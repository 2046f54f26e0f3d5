package ingest

import (
	"context"
	"sync"
	"time"
)

// request is something that only the poller may do, between two polls.
type request interface {
	carryOut(ctx context.Context, p *poller)
}

// inbox holds what other goroutines ask of the poller.
type inbox struct {
	now func() time.Time

	mu      sync.Mutex
	waiting []appointment
	wake    context.CancelFunc // ends what the poller waits for; nil where it does not wait
}

// appointment is a request and the time before which it is not carried out.
type appointment struct {
	request   request
	notBefore time.Time
}

func newInbox(now func() time.Time) *inbox { return &inbox{now: now} }

// put has the poller carry out a request soon.
func (i *inbox) put(r request) { i.putLater(r, 0) }

// putLater has the poller carry out a request once a time has passed.
func (i *inbox) putLater(r request, after time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.waiting = append(i.waiting, appointment{r, i.now().Add(after)})
	if i.wake != nil && after == 0 {
		i.wake()
	}
}

// take returns the requests that are due, and forgets them.
func (i *inbox) take() []request {
	i.mu.Lock()
	defer i.mu.Unlock()
	now := i.now()
	var due []request
	later := i.waiting[:0]
	for _, a := range i.waiting {
		if a.notBefore.After(now) {
			later = append(later, a)
		} else {
			due = append(due, a.request)
		}
	}
	clear(i.waiting[len(later):])
	i.waiting = later
	return due
}

// waitable returns a context that ends after a time, or as soon as a request is due. done MUST be called.
func (i *inbox) waitable(ctx context.Context, atMost time.Duration) (_ context.Context, done func()) {
	ctx, cancel := context.WithTimeout(ctx, atMost)
	i.mu.Lock()
	defer i.mu.Unlock()
	i.wake = cancel
	now := i.now()
	for _, a := range i.waiting {
		if !a.notBefore.After(now) {
			cancel()
		}
	}
	return ctx, func() {
		i.mu.Lock()
		i.wake = nil
		i.mu.Unlock()
		cancel()
	}
}
