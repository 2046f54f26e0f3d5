package store_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// TestLeavesAreThoseOfTheRows: the leaf beside each position is the leaf of the event that is read back
// at it, whatever was duplicate, rejected or refused between.
func TestLeavesAreThoseOfTheRows(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.owner.Exec(t.Context(), `ALTER TABLE events ADD CHECK (payload <> '{"total": 13}') NOT VALID`)
	require.NoError(t, err)
	offset := int64(0)
	for _, size := range []int{1, 300, 7, 40} {
		var records []event.Raw
		for i := range size {
			switch {
			case i%11 == 5:
				records = append(records, raw(0, offset, `{`))
			case i%7 == 3:
				records = append(records, record(0, offset, id(1), 0))
			default:
				records = append(records, record(0, offset, id(int(offset)+1), i))
			}
			offset++
		}
		_, err := s.Append(t.Context(), one(t, offset-int64(size), records...))
		require.NoError(t, err)
	}

	rows := store.NewLedger(openPool(t, s.url, "audittrail_notary"), ledger.Events)
	size, err := rows.Size(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, s.count(t, `SELECT count(*) FROM events`), size)
	leaves, err := rows.Leaves(t.Context(), []ledger.Range{{From: 0, To: size}, {From: 3, To: size - 9}, {From: size - 1, To: size}})
	require.NoError(t, err)
	require.True(t, slices.Equal(leaves[0][3:size-9], leaves[1]), "across batches")
	require.True(t, slices.Equal(leaves[0][size-1:], leaves[2]), "the last")

	reader := store.NewReader(store.ReaderOptions{Pool: openPool(t, s.url, "audittrail_api")})
	for position := int64(0); position < size; {
		page, err := reader.Feed(t.Context(), store.Filter{}, position-1, 100)
		require.NoError(t, err)
		require.NotEmpty(t, page.Items)
		for i := range page.Items {
			require.Equal(t, position, page.Items[i].Position)
			require.Equal(t, leaves[0][position], ledger.EventLeaf(&page.Items[i]), "position %d", position)
			position++
		}
	}
}

// TestTilesAndCheckpointsAreRows: what the notary writes is what everybody reads, and only the notary
// may write it.
func TestTilesAndCheckpointsAreRows(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	var records []event.Raw
	for i := range 600 {
		records = append(records, record(0, int64(i), id(i+1), 1))
	}
	_, err := s.Append(t.Context(), one(t, 0, records...))
	require.NoError(t, err)

	rows := store.NewLedger(openPool(t, s.url, "audittrail_notary"), ledger.Events)
	built, err := rows.Built(t.Context())
	require.NoError(t, err)
	require.Zero(t, built)
	for _, to := range []int64{300, 600} {
		require.NoError(t, ledger.BuildTiles(t.Context(), rows, built, to, func(ctx context.Context, _ int64, parts []ledger.TilePart) error {
			return rows.WriteTiles(ctx, parts)
		}))
		built, err = rows.Built(t.Context())
		require.NoError(t, err)
		require.Equal(t, to/256*256, built)
	}
	tiles, err := rows.Tiles(t.Context(), []ledger.TileID{{Level: 1}, {Level: 2}})
	require.NoError(t, err)
	require.Len(t, tiles[0], 2)
	require.Empty(t, tiles[1])

	_, ok, err := rows.LatestCheckpoint(t.Context())
	require.NoError(t, err)
	require.False(t, ok)
	kept := store.Checkpoint{Size: 600, Root: tiles[0][0], Note: "note", SignedAt: time.Now().UTC().Truncate(time.Microsecond)}
	require.NoError(t, rows.KeepCheckpoint(t.Context(), kept))
	latest, ok, err := rows.LatestCheckpoint(t.Context())
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, kept, latest)
	require.Error(t, rows.KeepCheckpoint(t.Context(), kept), "one of a size")

	// Signatures that come later are the note's from then on, for whoever reads it, in the order they came.
	require.NoError(t, rows.KeepCheckpoint(t.Context(), store.Checkpoint{Size: 599, Note: "other\n", SignedAt: kept.SignedAt}))
	kept.Note = "note\n— b 2\n— c 3\n— a 1\n"
	require.NoError(t, rows.KeepCheckpoint(t.Context(), store.Checkpoint{Size: 601, Note: "note\n", SignedAt: kept.SignedAt}))
	require.NoError(t, rows.AddSignatures(t.Context(), 601, []store.Signature{{Signer: "c", Line: "— c 3"}, {Signer: "b", Line: "— b 2"}}, kept.SignedAt))
	require.NoError(t, rows.AddSignatures(t.Context(), 601, []store.Signature{{Signer: "a", Line: "— a 1"}}, kept.SignedAt.Add(time.Second)))
	kept.Size, kept.Root = 601, ledger.Hash{}
	latest, _, err = rows.LatestCheckpoint(t.Context())
	require.NoError(t, err)
	require.Equal(t, kept, latest)
	list, err := rows.Checkpoints(t.Context(), 598, 3)
	require.NoError(t, err)
	require.Equal(t, []string{"other\n", "note", kept.Note}, []string{list[0].Note, list[1].Note, list[2].Note})
	for name, s := range map[string]store.Signature{"twice": {Signer: "a", Line: "— a 1"}, "two lines": {Signer: "d", Line: "— d 4\n— e 5"}, "no line": {Signer: "d"}} {
		require.Error(t, rows.AddSignatures(t.Context(), 601, []store.Signature{s}, time.Now()), name)
	}
	require.Error(t, rows.AddSignatures(t.Context(), 600, []store.Signature{{Signer: "f", Line: "— f 6"}, {Signer: "f", Line: "— f 6"}}, time.Now()), "all or none")
	require.Error(t, rows.AddSignatures(t.Context(), 602, []store.Signature{{Signer: "a", Line: "— a 1"}}, time.Now()), "of no checkpoint")

	other := store.NewLedger(s.pool, ledger.Events)
	require.Error(t, other.KeepCheckpoint(t.Context(), store.Checkpoint{Size: 601, Note: "note", SignedAt: time.Now().UTC().Truncate(time.Microsecond)}))
}

// TestPendingBatchesAreNumbered: batches of the access log that were committed in any order get dense
// positions, once, also from several callers at once.
func TestPendingBatchesAreNumbered(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	api := openPool(t, s.url, "audittrail_api")
	for i, count := range []int{2, 1, 3} {
		_, err := api.Exec(t.Context(), `INSERT INTO ledger_pending (log, batch, count, recorded_at, earliest, latest, leaves)
			VALUES ('access', nextval('access_batches'), $1, now(), now(), now(), $2)`, count, make([]byte, 32*count))
		require.NoError(t, err, i)
	}
	numbered := make(chan int, 4)
	for range cap(numbered) {
		go func() {
			n, err := store.NumberPending(t.Context(), api)
			if err != nil {
				n = -1000
			}
			numbered <- n
		}()
	}
	sum := 0
	for range cap(numbered) {
		sum += <-numbered
	}
	require.Equal(t, 3, sum)
	size, err := store.NewLedger(api, ledger.Access).Size(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, 6, size)
	require.Equal(t, 3, s.count(t, `SELECT count(*) FROM ledger_batches WHERE log = 'access' AND first_position IN (0, 2, 3)`))
	require.Zero(t, s.count(t, `SELECT count(*) FROM ledger_pending`))
	_, err = s.pool.Exec(t.Context(), `SELECT number_pending('access')`)
	require.ErrorContains(t, err, "permission denied")
}

// TestPendingBatchesAreNumberedWhileMoreCome: callers that number at once, while others write, leave no gap
// and no batch out.
func TestPendingBatchesAreNumberedWhileMoreCome(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	api := openPool(t, s.url, "audittrail_api")
	const writers, batches, callers = 2, 200, 4
	var writing, numbering sync.WaitGroup
	written := make(chan struct{})
	for range writers {
		writing.Go(func() {
			for i := range batches {
				_, err := api.Exec(t.Context(), `INSERT INTO ledger_pending (log, batch, count, recorded_at, earliest, latest, leaves)
					VALUES ('access', nextval('access_batches'), $1, now(), now(), now(), $2)`, 1+i%3, make([]byte, 32*(1+i%3)))
				assert.NoError(t, err)
			}
		})
	}
	for range callers {
		numbering.Go(func() {
			for done := false; !done; {
				select {
				case <-written:
					done = true // one more time
				default:
				}
				_, err := store.NumberPending(t.Context(), api)
				if !assert.NoError(t, err) {
					return
				}
			}
		})
	}
	writing.Wait()
	close(written)
	numbering.Wait()
	require.Zero(t, s.count(t, `SELECT count(*) FROM ledger_pending`))
	require.Equal(t, writers*batches, s.count(t, `SELECT count(*) FROM ledger_batches WHERE log = 'access'`))
	require.Zero(t, s.count(t, `SELECT count(*) FROM (SELECT first_position, lag(first_position + count, 1, 0::bigint) OVER (ORDER BY first_position) AS expected
		FROM ledger_batches WHERE log = 'access') AS b WHERE first_position <> expected`))
}
