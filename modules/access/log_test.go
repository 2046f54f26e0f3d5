package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// slowStore takes a while for each commit, and may fail.
type slowStore struct {
	mu      sync.Mutex
	commits [][]store.AccessEntry
	fails   error
}

func (s *slowStore) Append(_ context.Context, entries []store.AccessEntry) error {
	<-time.After(10 * time.Millisecond)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails == nil {
		s.commits = append(s.commits, entries)
	}
	return s.fails
}

// seen are the commits so far.
func (s *slowStore) seen() [][]store.AccessEntry {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commits)
}

func exchange(status int, principal string) *httpserver.Exchange {
	return &httpserver.Exchange{
		Request: &http.Request{Method: http.MethodGet, URL: &url.URL{Path: "/v1/events"}}, Route: "/v1/events", Status: status, Principal: principal,
		Phase: httpserver.PhaseRequest, CorrelationID: "c",
	}
}

func newLog(t *testing.T, s *slowStore, mode string) *Log {
	t.Helper()
	l, err := NewLog(LogOptions{Appender: s, Mode: mode, Log: slog.New(slog.DiscardHandler)})
	require.NoError(t, err)
	return l
}

// What comes while a commit is under way shares the next one, and nobody waits for a timer.
func TestEntriesShareCommits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{}
		l := newLog(t, s, "strict")
		ctx, stop := context.WithCancel(t.Context())
		var running, asking sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		began := time.Now()
		for range 100 {
			asking.Go(func() {
				if err := l.Hook(t.Context(), exchange(200, "ann")); err != nil {
					t.Error(err)
				}
			})
		}
		asking.Wait()
		require.LessOrEqual(t, time.Since(began), 20*time.Millisecond, "two commits")
		require.LessOrEqual(t, len(s.seen()), 2)
		stop()
		running.Wait()
		require.ErrorIs(t, l.write(store.AccessEntry{}), errStopped)
	})
}

func TestWhatCantBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for mode, fails := range map[string]bool{"strict": true, "best_effort": false} {
			l := newLog(t, &slowStore{fails: errors.New("away")}, mode)
			ctx, stop := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { l.Run(ctx) })
			require.Equal(t, fails, l.Hook(t.Context(), exchange(200, "ann")) != nil, mode)
			require.NoError(t, l.Hook(t.Context(), &httpserver.Exchange{Open: true}), "what is for everybody is not logged")
			stop()
			running.Wait()
		}
	})
}

// Requests beyond the limit of their address are one entry a minute, which says how many.
func TestRefusedBeyondTheLimitAreSummarised(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &slowStore{}
		l := newLog(t, s, "strict")
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { l.Run(ctx) })
		for range 1000 {
			require.NoError(t, l.Hook(t.Context(), exchange(http.StatusTooManyRequests, "")))
		}
		require.Empty(t, s.seen())
		<-time.After(summaryEvery + time.Second)
		require.Len(t, s.seen(), 1)
		require.Contains(t, string(s.seen()[0][0].Canonical), `"query":{"refused":["1000"]}`)
		require.NoError(t, l.Hook(t.Context(), exchange(http.StatusTooManyRequests, "")))
		stop()
		running.Wait()
		require.Len(t, s.seen(), 2, "also at the end")
	})
}

// Whatever a caller sends, the entry is canonical JSON that PostgreSQL takes, and not long.
func TestEntriesOfHostileRequests(t *testing.T) {
	x := exchange(400, "p\x00\xff"+strings.Repeat("ä", 3000))
	x.Request.Method, x.Request.URL.Path, x.Route = "BREW\xff", "/\x00"+strings.Repeat("x", 9000), "unmatched"
	x.Query = map[string][]string{"payload": {"\x00", strings.Repeat("\U0001F600", 2000)}}
	x.Roles = []string{"\xff"}
	e, err := entryOf(x, time.Now())
	require.NoError(t, err)
	again, err := event.Canonicalize(nil, e.Canonical)
	require.NoError(t, err)
	require.Equal(t, string(again), string(e.Canonical))
	require.NotContains(t, string(e.Canonical), `\u0000`)
	require.Less(t, len(e.Canonical), 20_000, fmt.Sprint(len(e.Canonical)))
}

func TestOwnNames(t *testing.T) {
	for subject, want := range map[string]bool{"ann": true, "anonymous": false, strings.Repeat("x", 1000): true, strings.Repeat("x", 1001): false} {
		require.Equal(t, want, IsOwnName(subject), subject)
	}
}
