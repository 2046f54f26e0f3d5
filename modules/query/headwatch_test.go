package query

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// fakeHead is a store's head that a test moves.
type fakeHead struct {
	head, asked, under atomic.Int64
	away               atomic.Bool
	listen             chan func() // gives who listens to the test; where it is nil nobody can listen
}

func (f *fakeHead) Listen(ctx context.Context, heard func()) error {
	if f.listen == nil {
		return errors.New("a replica")
	}
	heard()
	f.listen <- heard
	<-ctx.Done()
	return ctx.Err()
}

func (f *fakeHead) Head(context.Context) (int64, error) {
	if f.under.Add(1) > 1 {
		panic("asked by two at once")
	}
	defer f.under.Add(-1)
	f.asked.Add(1)
	if f.away.Load() {
		return 0, errors.New("away")
	}
	return f.head.Load(), nil
}

func startWatch(t *testing.T) (*fakeHead, *headWatch, func()) {
	t.Helper()
	others := goleak.IgnoreCurrent() // a server that another test has started stays for all of them
	f := &fakeHead{}
	return startWatchOf(t, f, others)
}

func startWatchOf(t *testing.T, f *fakeHead, others goleak.Option) (*fakeHead, *headWatch, func()) {
	t.Helper()
	f.head.Store(-1)
	w := newHeadWatch(f)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { w.run(ctx) })
	stop := sync.OnceFunc(func() { cancel(); running.Wait() })
	t.Cleanup(func() { stop(); goleak.VerifyNone(t, others) })
	return f, w, stop
}

// waiters starts n waits and answers where their results arrive.
func waiters(t *testing.T, w *headWatch, n int, after int64) <-chan bool {
	t.Helper()
	results := make(chan bool, n)
	for range n {
		go func() { results <- w.wait(t.Context(), after, 20*time.Second) }()
	}
	require.Eventually(t, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.waiting == n
	}, 5*time.Second, time.Millisecond)
	return results
}

func TestHeadWatchAsksOnlyWhileSomebodyWaits(t *testing.T) {
	f, w, _ := startWatch(t)
	require.Zero(t, f.asked.Load())
	results := waiters(t, w, 100, -1)
	f.away.Store(true)
	before := f.asked.Load()
	require.Eventually(t, func() bool { return f.asked.Load() >= before+2 }, time.Minute, time.Millisecond)
	require.Empty(t, results, "a store that is away wakes nobody")
	f.head.Store(0)
	f.away.Store(false)
	for range 100 {
		require.True(t, <-results)
	}
	require.Eventually(t, func() bool { return !w.busy() }, time.Minute, time.Millisecond)
	require.True(t, w.wait(t.Context(), -1, time.Second), "what is known already is not waited for")
	require.False(t, w.wait(t.Context(), 0, 10*time.Millisecond), "the time is over")
	require.False(t, w.wait(t.Context(), -1, 0), "nobody wanted to wait")
}

// What is heard is asked about at once, however long the pause would be, and nothing is asked while nobody
// waits.
func TestHeadWatchHears(t *testing.T) {
	others := goleak.IgnoreCurrent()
	f, w, _ := startWatchOf(t, &fakeHead{listen: make(chan func())}, others)
	heard := <-f.listen
	require.Equal(t, checkEvery, w.pause())
	heard()
	require.Zero(t, f.asked.Load())
	for head := range int64(20) {
		results := waiters(t, w, 3, head-1)
		f.head.Store(head)
		heard()
		for range 3 {
			require.True(t, <-results)
		}
		require.Eventually(t, func() bool { return !w.busy() }, time.Minute, time.Millisecond)
	}
	results := waiters(t, w, 1, 19)
	f.head.Store(20)
	require.True(t, <-results, "a notification that was lost delays, and no more")
}

func TestHeadWatchLetsGoOfWhoLeaves(t *testing.T) {
	_, w, stop := startWatch(t)
	gone, leave := context.WithCancel(t.Context())
	leave()
	require.False(t, w.wait(gone, -1, 20*time.Second))

	results := waiters(t, w, 10, -1)
	stop()
	for range 10 {
		require.False(t, <-results)
	}
	require.False(t, w.wait(t.Context(), -1, 20*time.Second), "nor does anybody begin to wait after the stop")
}

// Who is held asks the store nothing, and so needs no connection. The hold ends with its time, when the
// caller leaves, when the server stops, and when others hear of a new head.
func TestAHoldAsksNothingAndEndsEarly(t *testing.T) {
	f, w, stop := startWatch(t)
	ended := make(chan bool, 1)
	hold := func(ctx context.Context) { ended <- w.hold(ctx, -1, 20*time.Second) }
	require.False(t, w.hold(t.Context(), -1, time.Millisecond))

	ctx, leave := context.WithCancel(t.Context())
	go hold(ctx)
	leave()
	require.False(t, <-ended)

	go hold(t.Context())
	require.Zero(t, f.asked.Load(), "nobody waits, so nobody asks")
	f.head.Store(5)
	require.True(t, w.wait(t.Context(), -1, 20*time.Second))
	require.True(t, <-ended, "it hears of the head with the one that waits")

	go func() { ended <- w.hold(t.Context(), 5, 20*time.Second) }()
	stop()
	require.False(t, <-ended)
}
