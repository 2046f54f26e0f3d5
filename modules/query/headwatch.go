package query

import (
	"context"
	"sync"
	"time"
)

// pollEvery is how often the store is asked for its head while somebody waits for it to move.
const pollEvery = 100 * time.Millisecond

// header tells the position of the last committed event; -1 where there is none.
type header interface {
	Head(ctx context.Context) (int64, error)
}

// headWatch tells waiting feeds that the log has grown. However many wait, one goroutine asks the store,
// by one connection at a time, and only while somebody waits.
type headWatch struct {
	store header

	mu      sync.Mutex // holds all below
	waiting int
	head    int64
	stopped bool
	changed chan struct{} // closed, and replaced, when head or stopped changed
	wake    chan struct{} // tells run that somebody waits; holds one
}

func newHeadWatch(store header) *headWatch {
	return &headWatch{store: store, head: -1, changed: make(chan struct{}), wake: make(chan struct{}, 1)}
}

// wait answers true when there are positions beyond after, and false when the time is over, the caller has
// left, or the server stops.
func (w *headWatch) wait(ctx context.Context, after int64, longest time.Duration) bool {
	if longest <= 0 {
		return false
	}
	w.enter()
	defer w.leave()
	return w.hold(ctx, after, longest)
}

// hold is wait for one who does not have the store asked: what others hear of the head ends it too.
func (w *headWatch) hold(ctx context.Context, after int64, longest time.Duration) bool {
	timer := time.NewTimer(longest)
	defer timer.Stop()
	for {
		w.mu.Lock()
		head, stopped, changed := w.head, w.stopped, w.changed
		w.mu.Unlock()
		if stopped {
			return false
		}
		if head > after {
			return true
		}
		select {
		case <-changed:
		case <-timer.C:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

func (w *headWatch) enter() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting++
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *headWatch) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.waiting--
}

// run asks the store while somebody waits, until ctx is cancelled. Then nobody waits any more.
func (w *headWatch) run(ctx context.Context) {
	defer w.stop()
	ticker := time.NewTicker(pollEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-w.wake:
		}
		for w.busy() {
			w.ask(ctx)
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
			}
		}
	}
}

func (w *headWatch) busy() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.waiting > 0
}

// ask asks once. While the store can't be reached nobody is woken: who waits sees its time end, and a
// store that is away must not be asked by everybody at once.
func (w *headWatch) ask(ctx context.Context) {
	head, err := w.store.Head(ctx)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if head != w.head {
		w.head = head
		w.announce()
	}
}

func (w *headWatch) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.announce()
}

// announce wakes all who wait. w.mu MUST be held.
func (w *headWatch) announce() {
	close(w.changed)
	w.changed = make(chan struct{})
}
