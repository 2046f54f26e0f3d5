package store_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/store"
)

// shelf is a cache that never forgets.
type shelf map[string][]byte

func (s shelf) Get(_ context.Context, _ string, keys []string) map[string][]byte {
	found := map[string][]byte{}
	for _, key := range keys {
		if value, ok := s[key]; ok {
			found[key] = value
		}
	}
	return found
}

func (s shelf) Set(key string, value []byte) { s[key] = value }

// An event that was read once is answered without the database, to who has the same scope. Evidence, and who wants a
// later position, ask the database.
func TestEventsFromTheCache(t *testing.T) {
	t.Parallel()
	s, kept := newStore(t), shelf{}
	s.begin(t, 1)
	s.appendAll(t, 0, given{n: 1, typ: "OrderPlaced", aggregate: "secret-name", at: "2026-01-02T03:04:05Z"})
	pool := openAPIPool(t, s.url, "10s")
	r := store.NewReader(store.ReaderOptions{Pool: pool, Cache: kept, Scoped: true})
	one, err := event.ParseID(id(1))
	require.NoError(t, err)
	everything := store.WithScope(t.Context(), store.Everything())
	orders := store.WithScope(t.Context(), store.Only(store.ScopePart{EventTypes: []string{"Order*"}}))
	payments := store.WithScope(t.Context(), store.Only(store.ScopePart{EventTypes: []string{"Payment*"}}))

	first, err := r.Event(everything, one)
	require.NoError(t, err)
	_, err = r.Event(payments, one)
	require.ErrorContains(t, err, "there is no event with this id", "another's copy is not seen")
	require.Len(t, kept, 1, "what is not there is not kept")
	for key, value := range kept {
		require.NotContains(t, key+string(value), "secret-name", "who reads the cache learns nothing")
		require.True(t, strings.HasPrefix(key, "audittrail:"), "what Redis lets our login touch")
	}

	pool.Close()
	again, err := r.Event(everything, one)
	require.NoError(t, err)
	require.Equal(t, first, again)
	for what, ctx := range map[string]context.Context{
		"another scope": orders, "no scope": t.Context(), "evidence": store.WithStoredForm(everything),
	} {
		_, err := r.Event(ctx, one)
		require.Error(t, err, what)
	}
	for least, ok := range map[int64]bool{-1: true, 0: true, 1: false} {
		ctx, seat := r.WithSeat(everything, least)
		_, err := r.Event(ctx, one)
		seat.Leave()
		require.Equal(t, ok, err == nil, "at least position %d", least)
	}

	for key := range kept {
		kept[key] = []byte("junk")
	}
	_, err = r.Event(everything, one)
	require.Error(t, err, "it asks the database")
}

// A restore starts the server anew, or makes another database. What was kept before is not found afterwards, so no event is
// answered that the restored history lacks.
func TestTheCacheEndsWithTheServer(t *testing.T) {
	t.Parallel()
	server, kept := migratetest.Server(t), shelf{}
	s := testStore{owner: openPool(t, server.URL(), ""), pool: openPool(t, server.URL(), "audittrail_ingest"), url: server.URL()}
	s.Appender = store.NewAppender(store.AppenderOptions{Pool: s.pool, Breaker: s.owner})
	s.begin(t, 1)
	s.appendAll(t, 0, given{n: 1, typ: "OrderPlaced", aggregate: "o", at: "2026-01-02T03:04:05Z"})
	r := store.NewReader(store.ReaderOptions{Pool: openAPIPool(t, s.url, "10s"), Cache: kept, Scoped: true})
	one, err := event.ParseID(id(1))
	require.NoError(t, err)
	everything := store.WithScope(t.Context(), store.Everything())

	heard, ended := make(chan struct{}, 8), make(chan error, 1)
	go func() { ended <- r.Listen(t.Context(), func() { heard <- struct{}{} }) }()
	<-heard
	for range 2 {
		_, err = r.Event(everything, one)
		require.NoError(t, err)
		require.Len(t, kept, 1)
	}
	server.Restart()
	require.Error(t, <-ended)
	// A broken connection may cost the first tries the cache, or their answer.
	require.Eventually(t, func() bool {
		_, err := r.Event(everything, one)
		return err == nil && len(kept) == 2
	}, time.Minute, 20*time.Millisecond, "the event is read again, and kept under another key")
}

// An event with sealed values is kept as it is stored: who may see them opens them anew each time, so an erasure is seen
// at once, and who may not never sees them.
func TestSealedEventsFromTheCache(t *testing.T) {
	t.Parallel()
	s, kept := newSearchSystem(t), shelf{}
	s.fill(t, protect.WithRules(s.rules, s.keys), true, 0, 4)
	pool := openPool(t, s.url, "audittrail_api")
	r := store.NewReader(store.ReaderOptions{Pool: pool, Opener: protect.NewOpener(s.keys), Cache: kept, Scoped: true})
	one, err := event.ParseID(id(0))
	require.NoError(t, err)
	closed := store.WithScope(t.Context(), store.Everything())
	open := store.WithOpening(closed, store.Everything(), nil)
	shown := func(ctx context.Context) string {
		t.Helper()
		e, err := r.Event(ctx, one)
		require.NoError(t, err)
		return string(e.Payload)
	}
	first := shown(open)
	require.NotContains(t, first, "$sealed")
	require.Contains(t, shown(closed), `{"$sealed":true}`)
	require.Len(t, kept, 1, "both have the same row")
	require.Equal(t, first, shown(open))

	_, err = s.owner.Exec(t.Context(), `UPDATE subject_keys SET wrapped = NULL WHERE wrapped IS NOT NULL`)
	require.NoError(t, err)
	s.keys.Forget()
	require.Contains(t, shown(open), `{"$erased":true}`)
	require.Contains(t, shown(closed), `{"$erased":true}`, "also for those who may not see values")
}
