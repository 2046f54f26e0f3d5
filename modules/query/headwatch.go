package query

import (
	"context"
	"sync"
	"time"
)

const (
	// pollEvery is how often the store is asked for its head while somebody waits for it to move, and nothing
	// tells when it does.
	pollEvery = 100 * time.Millisecond

	// checkEvery is how often it is asked beside what is heard: a notification may get lost.
	checkEvery = time.Second

	// listenEvery is how often a lost listening connection is tried again.
	listenEvery = 5 * time.Second
)

// header tells the position of the last committed event, -1 where there is none, and when to ask again.
type header interface {
	Head(ctx context.Context) (int64, error)
	Listen(ctx context.Context, heard func()) error
}

// headWatch tells waiting feeds that the log has grown. However many wait, one connection listens for appends,
// and one goroutine asks the store, by one connection at a time, and only while somebody waits.
type headWatch struct {
	store header

	mu        sync.Mutex // holds all below
	waiting   int
	listening bool
	head      int64
	stopped   bool
	changed   chan struct{} // closed, and replaced, when head or stopped changed
	wake      chan struct{} // tells run that somebody waits; holds one
	heard     chan struct{} // tells run to ask; holds one
}

func newHeadWatch(store header) *headWatch {
	return &headWatch{store: store, head: -1, changed: make(chan struct{}), wake: make(chan struct{}, 1), heard: make(chan struct{}, 1)}
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

// over reports whether the server stops.
func (w *headWatch) over() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stopped
}

// run listens, and asks the store while somebody waits, until ctx is cancelled. Then nobody waits any more.
func (w *headWatch) run(ctx context.Context) {
	var listener sync.WaitGroup
	defer listener.Wait()
	defer w.stop()
	listener.Go(func() { w.listen(ctx) })
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
			case <-w.heard:
			case <-time.After(w.pause()):
			}
		}
	}
}

// listen has run ask whenever events were appended, and often while it can't hear of them.
func (w *headWatch) listen(ctx context.Context) {
	for ctx.Err() == nil {
		_ = w.store.Listen(ctx, func() { w.hear(true) }) // run asks meanwhile
		w.hear(false)
		select {
		case <-ctx.Done():
		case <-time.After(listenEvery):
		}
	}
}

func (w *headWatch) hear(listening bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listening = listening
	select {
	case w.heard <- struct{}{}:
	default:
	}
}

func (w *headWatch) pause() time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.listening {
		return checkEvery
	}
	return pollEvery
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
