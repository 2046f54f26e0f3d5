package store_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// TestOneNotary: the lead is one session's, and goes with it; what it writes is everybody's to read.
func TestOneNotary(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pool := openPool(t, s.url, "audittrail_notary")
	lead, ok, err := store.LeadNotary(t.Context(), pool)
	require.NoError(t, err)
	require.True(t, ok)
	_, ok, err = store.LeadNotary(t.Context(), pool)
	require.NoError(t, err)
	require.False(t, ok)

	mine := lead.Ledger(ledger.Access)
	for _, size := range []int64{5, 9} {
		require.NoError(t, mine.KeepCheckpoint(t.Context(), store.Checkpoint{Size: size, Note: "note", SignedAt: time.Now()}))
	}
	rows := store.NewLedger(pool, ledger.Access)
	for upTo, want := range map[int64]int64{4: 0, 5: 5, 8: 5, 9: 9, 100: 9} {
		c, ok, err := rows.CheckpointUpTo(t.Context(), upTo)
		require.NoError(t, err)
		require.Equal(t, want > 0, ok)
		require.Equal(t, want, c.Size)
	}
	n, err := lead.NumberPending(t.Context())
	require.NoError(t, err)
	require.Zero(t, n)

	_, err = s.owner.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_locks
		WHERE locktype = 'advisory' AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	require.NoError(t, err)
	require.Error(t, mine.KeepCheckpoint(t.Context(), store.Checkpoint{Size: 10, Note: "note", SignedAt: time.Now()}), "the lead is lost")
	require.True(t, lead.Lost())
	require.Eventually(t, func() bool {
		next, ok, err := store.LeadNotary(t.Context(), pool)
		if ok {
			next.Close(t.Context())
		}
		return ok && err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// TestAFrozenLeadEnds: a process that is stopped, and whose kernel goes on to answer for it, does not keep
// the others from signing.
func TestAFrozenLeadEnds(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	pool := openPool(t, s.url, "audittrail_notary")
	frozen, ok, err := store.LeadNotary(t.Context(), pool)
	require.NoError(t, err)
	require.True(t, ok)
	require.Eventually(t, func() bool {
		next, ok, err := store.LeadNotary(t.Context(), pool)
		if ok {
			next.Close(t.Context())
		}
		return ok && err == nil
	}, 25*time.Second, 100*time.Millisecond)
	_, err = frozen.NumberPending(t.Context())
	require.Error(t, err)
	require.True(t, frozen.Lost())
}
