package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
)

// While the index is built, events are stored in the partition. They are found by it, and later ones too.
func TestBuildByCauseHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	r := s.reader(t)
	event := func(n int) given {
		return given{n: n, typ: "T", aggregate: "a", at: "2025-03-01T00:00:00Z", metadata: `{"causationId":"cause"}`}
	}
	s.appendAll(t, 0, event(1), given{n: 2, typ: "T", aggregate: "a", at: "2025-03-01T00:00:00Z"})

	reading, err := s.owner.Begin(t.Context()) // an older snapshot, which the build waits for
	require.NoError(t, err)
	_, err = reading.Exec(t.Context(), "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM events")
	require.NoError(t, err)
	built := make(chan error, 1)
	owner := openPool(t, s.url, "audittrail_owner")
	go func() { built <- store.BuildByCause(context.WithoutCancel(t.Context()), owner, "events_2025") }()
	require.Eventually(t, func() bool {
		var waits bool
		require.NoError(t, s.owner.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_progress_create_index
			WHERE datname = current_database() AND phase = 'waiting for old snapshots')`).Scan(&waits))
		return waits
	}, time.Minute, 10*time.Millisecond)
	s.appendAll(t, 2, event(3))
	require.NoError(t, reading.Commit(t.Context()))
	require.NoError(t, <-built)
	s.appendAll(t, 3, event(4))

	page, err := r.Events(t.Context(), store.Filter{CausationID: "cause"}, store.Page{Limit: 10, Order: store.Ascending})
	require.NoError(t, err)
	require.Equal(t, []string{id(1), id(3), id(4)}, ids(page.Items))
	var entries int
	_, err = s.owner.Exec(t.Context(), "ANALYZE events_2025")
	require.NoError(t, err)
	require.NoError(t, s.owner.QueryRow(t.Context(), `SELECT reltuples::int FROM pg_class WHERE relname = 'events_2025_causation_idx'`).Scan(&entries))
	require.Equal(t, 3, entries, "only events with a cause are in it")
}
