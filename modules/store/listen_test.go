package store_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
)

// Who listens hears when it begins and after each append that stored events, of whatever process, and ends with
// its connection and with its context.
func TestListenHearsOfAppends(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	r := store.NewReader(store.ReaderOptions{Pool: openPool(t, s.url, "audittrail_api")})
	heard, ended := make(chan struct{}, 10), make(chan error, 1)
	listen := func(ctx context.Context) {
		go func() { ended <- r.Listen(ctx, func() { heard <- struct{}{} }) }()
		<-heard
	}
	listen(t.Context())
	for offset := range int64(3) {
		s.appendAll(t, offset, given{n: int(offset), typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"})
		<-heard
	}
	_, err := s.Append(t.Context(), one(t, 3, raw(0, 3, "bad")))
	require.NoError(t, err)
	require.Empty(t, heard, "nothing was stored")

	const listeners = `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
		WHERE datname = current_database() AND query = 'LISTEN audittrail_appended'`
	require.Equal(t, 1, s.count(t, listeners))
	require.ErrorContains(t, <-ended, "listen for appends")

	ctx, cancel := context.WithCancel(t.Context())
	listen(ctx)
	cancel()
	require.ErrorIs(t, <-ended, context.Canceled)
}
