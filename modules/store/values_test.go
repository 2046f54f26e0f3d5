package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
)

// noted answers the rows of event_values, as field=value@month.
func noted(t testing.TB, db *pgxpool.Pool) []string {
	t.Helper()
	var all []string
	err := db.QueryRow(t.Context(), `SELECT array_agg(format('%s=%s@%s', field, value, to_char(month, 'YYYY-MM')) ORDER BY 1) FROM event_values`).Scan(&all)
	require.NoError(t, err)
	return all
}

func TestAppendNotesWhatOccursWhen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	s.appendAll(t, 0,
		given{n: 1, typ: "A", at: "1948-03-01T00:00:00Z", aggregate: "x"},
		given{n: 2, typ: "A", at: "2026-01-31T23:59:59.999999Z", aggregate: "x", metadata: `{"source":"shop \"1\""}`},
		given{n: 3, typ: "B", at: "2026-02-01T00:00:00Z", aggregate: "x", metadata: `{"source":""}`},
	)
	require.Equal(t, []string{
		"aggregateType=Order@1999-12", "aggregateType=Order@2026-01", "aggregateType=Order@2026-02",
		"eventType=A@1999-12", "eventType=A@2026-01", "eventType=B@2026-02", "source=@2026-02", `source=shop "1"@2026-01`,
	}, noted(t, s.owner))
}

// What is noted belongs to the database that a connection goes to: one that was set back gets it again.
func TestAppendNotesAgainOnANewConnection(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	s.appendAll(t, 0, given{n: 1, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	_, err := s.owner.Exec(t.Context(), `SET session_replication_role = replica; ALTER TABLE event_values DISABLE TRIGGER ALL; DELETE FROM event_values; ALTER TABLE event_values ENABLE TRIGGER ALL`)
	require.NoError(t, err)
	s.pool.Reset()
	s.appendAll(t, 1, given{n: 2, typ: "A", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	require.Contains(t, noted(t, s.owner), "eventType=A@2026-01")
}

// A field of very many values is open: it prunes nothing any more, and nothing is hidden.
func TestFieldsOfManyValuesAreOpen(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	s.begin(t, 1)
	_, err := s.owner.Exec(t.Context(), `INSERT INTO event_values SELECT 'eventType', 'T' || n, '2026-01-01' FROM generate_series(1, 10000) n`)
	require.NoError(t, err)
	s.appendAll(t, 0, given{n: 1, typ: "one too many", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	s.appendAll(t, 1, given{n: 2, typ: "not noted", aggregate: "x", at: "2026-01-01T00:00:00Z"})
	require.NotContains(t, noted(t, s.owner), "eventType=not noted@2026-01")
	require.Contains(t, noted(t, s.owner), "aggregateType=Order@2026-01")

	found, err := s.reader(t).Events(t.Context(), store.Filter{EventTypes: []string{"not noted"}}, store.Page{Limit: 5})
	require.NoError(t, err)
	require.Equal(t, []string{id(2)}, ids(found.Items))

	_, err = s.owner.Exec(t.Context(), `INSERT INTO event_values_open VALUES ('aggregateType')`)
	require.NoError(t, err)
	found, err = s.reader(t).Events(t.Context(), store.Filter{AggregateID: "x"}, store.Page{Limit: 5})
	require.NoError(t, err)
	require.Len(t, found.Items, 2, "of aggregates whose types nobody knows")
}

// An ingest of a release that does not note values would hide its events from searches. It is refused, by an
// error after which appends are tried again, so that nothing of it is lost.
func TestOlderWritersAreRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	for setting, refused := range map[string]bool{"": true, "5": true, "6": false, "12": false} {
		tx, err := s.pool.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `SELECT set_config('audittrail.writer', $1, true)`, setting)
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
			VALUES ('events', 0, 1, 1, now(), now(), now(), decode(repeat('00', 32), 'hex'))`)
		require.NoError(t, tx.Rollback(context.WithoutCancel(t.Context())))
		if !refused {
			require.NoError(t, err)
			continue
		}
		require.ErrorContains(t, err, "SQLSTATE 55000", "writer "+setting)
	}
}

// A search that takes longer than its budget answers in parts, and each part moves on.
func TestScanBudget(t *testing.T) {
	t.Parallel()
	s := newStore(t)
	_, err := s.owner.Exec(t.Context(), `
		INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
			aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT 16384 + n, timestamptz '2021-01-01' + n * interval '1 minute', now(), n, 0, 1, gen_random_uuid(), 'T',
			'A', 'a', 't', decode(repeat('00', 16), 'hex'), '{}',
			jsonb_build_object('source', CASE n % 40000 WHEN 7 THEN 'rare' ELSE 'shop' END) FROM generate_series(0, 199999) n;
		INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
		SELECT 'events', b * 16384, b + 1, 16384, now(), '2021-01-01', '2022-01-01', decode(repeat('00', 32 * 16384), 'hex') FROM generate_series(0, 13) b;
		INSERT INTO event_values SELECT 'source', 'rare', m FROM generate_series(timestamptz '2021-01-01', '2021-12-01', '1 month') m`)
	require.NoError(t, err)
	r := s.readerOf(t, store.ReaderOptions{ScanBudget: 4 * time.Millisecond})
	for _, order := range []store.Order{store.Ascending, store.Descending} {
		most := 0
		for range 20 { // on a busy machine the scan may be done before the server is asked to cancel it
			most = max(most, pagesOfRare(t, r, order))
			if most > 1 {
				break
			}
		}
		require.Greater(t, most, 1, "200,000 rows in 4 ms, order %v", order)
	}
}

// pagesOfRare answers how many pages the search for the five events from source rare had.
func pagesOfRare(t *testing.T, r *store.Reader, order store.Order) int {
	t.Helper()
	found, page := 0, store.Page{Limit: 10, Order: order}
	for pages := 1; ; pages++ {
		got, err := r.Events(t.Context(), store.Filter{Source: "rare"}, page)
		require.NoError(t, err)
		if found += len(got.Items); got.Next == "" {
			require.Equal(t, 5, found)
			return pages
		}
		require.NotEqual(t, page.Cursor, got.Next, "it moves on")
		page.Cursor = got.Next
	}
}
