package store_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// atOnce appends all batches at the same moment, each in a goroutine of its own.
func (s testStore) atOnce(t *testing.T, batches ...store.Batch) {
	t.Helper()
	var group sync.WaitGroup
	begin := make(chan struct{})
	errs := make([]error, len(batches))
	for i := range batches {
		group.Go(func() {
			<-begin
			_, errs[i] = s.Append(t.Context(), batches[i])
		})
	}
	close(begin)
	group.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// TestAppendsTakePositionsInTurn: appends that have no event id in common wait for each other at the
// ledger alone. Without its lock two of them would begin at the same position.
func TestAppendsTakePositionsInTurn(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const partitions, rounds = 6, 25
	s.begin(t, partitions)
	for round := range int64(rounds) {
		var batches []store.Batch
		for p := range partitions {
			r := record(p, round, id(int(round)*partitions+p+1), 1)
			batches = append(batches, batch(t, map[int]int64{p: round}, map[int]int64{p: round + 1}, r))
		}
		s.atOnce(t, batches...)
	}
	require.Equal(t, partitions*rounds, s.count(t, `SELECT count(*) FROM events`))
	s.balance(t)
}

// TestAppendsOfTheSameEventsDoNotDeadlock: two partitions bring the same events in opposite orders, so
// many that both appends are among their keys at the same time.
func TestAppendsOfTheSameEventsDoNotDeadlock(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	const rounds, size = 4, 4000
	s.begin(t, 2)
	for round := range rounds {
		from := int64(round * size)
		var forth, back []event.Raw
		for i := range size {
			forth = append(forth, record(0, from+int64(i), id(int(from)+i+1), 1))
			back = append(back, record(1, from+int64(i), id(int(from)+size-i), 1))
		}
		s.atOnce(t,
			batch(t, map[int]int64{0: from}, map[int]int64{0: from + size}, forth...),
			batch(t, map[int]int64{1: from}, map[int]int64{1: from + size}, back...))
	}
	require.Equal(t, rounds*size, s.count(t, `SELECT count(*) FROM events`))
	require.Equal(t, rounds*size, s.count(t, `SELECT sum(duplicates) FROM ingest_ranges`))
	s.balance(t)
}
