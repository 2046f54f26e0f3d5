package store

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/postgres"
)

// A search by causation id reads the btree of each partition that has one, and the BRIN index of the others.
func TestSearchByCauseTakesTheIndexThatThereIs(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	owner := openOwner(t, url)
	_, err := owner.Exec(t.Context(), `
		INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
			aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT n, timestamptz '2021-01-01' + n * interval '1 hour', now(), n, 0, 1, gen_random_uuid(), 'T' || n % 3,
			'A', 'a' || n % 50, 't', '\x00', '{}', jsonb_build_object('causationId', 'c' || n) FROM generate_series(0, 26279) AS n`)
	require.NoError(t, err)
	upkeep := &Upkeep{}
	conn, err := owner.Acquire(t.Context())
	require.NoError(t, err)
	upkeep.Lead = &Lead{conn: conn.Conn()}
	for _, name := range []string{"events_2021", "events_2022", "events_2023"} {
		_, err := upkeep.Summarise(t.Context(), name)
		require.NoError(t, err)
		require.NoError(t, upkeep.Analyse(t.Context(), name))
	}
	conn.Release()
	for _, name := range []string{"events_2021", "events_2022"} {
		require.NoError(t, BuildByCause(t.Context(), owner, name))
	}

	reader := connectAsAPI(t, url)
	var brin string
	require.NoError(t, reader.QueryRow(t.Context(), `SELECT indexrelid::regclass::text FROM pg_index JOIN pg_inherits ON inhrelid = indexrelid
		WHERE inhparent = 'events_causation'::regclass AND indrelid = 'events_2023'::regclass`).Scan(&brin))

	ctx := WithScope(t.Context(), Everything())
	where, spans, err := NewReader(ReaderOptions{}).search(ctx, reader, Filter{CausationID: "c9999"}, time.Time{}, time.Time{})
	require.NoError(t, err)
	slices.Reverse(spans)
	s := overSpans(spans, where, Descending, 20)
	undo, err := s.plannerSettings(ctx, reader)
	require.NoError(t, err)
	defer undo()
	sql, args := s.sql(nil)
	rows, err := reader.Query(ctx, "EXPLAIN (COSTS OFF) "+sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	require.NoError(t, err)
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	var taken []string
	for _, line := range lines {
		if _, index, found := strings.Cut(line, "Bitmap Index Scan on "); found {
			taken = append(taken, index)
		}
	}
	require.Equal(t, []string{brin, "events_2022_causation_idx", "events_2021_causation_idx"}, taken, strings.Join(lines, "\n"))
}

func openOwner(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.PoolOptions{URL: url, Name: "test", Role: "audittrail_owner", MaxConns: 1})
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}
