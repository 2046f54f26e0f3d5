package store

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// Lists rely on Append running its branches in their order and on the outer LIMIT ending it in the first
// ones that are enough, by an index and without a sort of everything. This is what PostgreSQL does with it.
func TestListsStopInTheFirstSpans(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	conn := connectAsAPI(t, url)
	fillYears(t, url)

	r := NewReader(ReaderOptions{})
	for name, c := range map[string]struct {
		filter Filter
		order  Order
		index  string
	}{
		"all":       {Filter{}, Descending, "pkey"},
		"type":      {Filter{EventTypes: []string{"T1"}}, Descending, ""},
		"aggregate": {Filter{AggregateType: "A", AggregateID: "a7"}, Ascending, "aggregate"},
	} {
		t.Run(name, func(t *testing.T) {
			spans, err := r.timeline(t.Context(), conn, time.Time{}, time.Time{})
			require.NoError(t, err)
			require.Less(t, len(spans), 20, "the empty past is left out")
			if c.order == Descending {
				slices.Reverse(spans)
			}
			sql, args := overSpans(spans[:walk[0]], c.filter.where(), c.order, 20).sql(nil)
			rows, err := conn.Query(t.Context(), "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) "+sql, append([]any{pgx.QueryExecModeExec}, args...)...)
			require.NoError(t, err)
			lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err)
			plan := strings.Join(lines, "\n")
			require.Contains(t, plan, "Append")
			require.NotContains(t, plan, "Merge Append")
			require.NotContains(t, plan, "Seq Scan")
			require.Contains(t, plan, c.index)
			require.Contains(t, plan, "never executed", "later branches are not begun")
		})
	}
}

// fillYears stores an event an hour from 2021 on, over four years.
func fillYears(t *testing.T, url string) {
	t.Helper()
	owner, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, owner.Close(context.WithoutCancel(t.Context()))) }()
	_, err = owner.Exec(t.Context(), `
		INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
			aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT n, timestamptz '2021-01-01' + n * interval '1 hour', now(), n, 0, 1, gen_random_uuid(), 'T' || n % 3,
			'A', 'a' || n % 50, 't', '\x00', '{}', '{}' FROM generate_series(0, 40000) n`)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), `ANALYZE events`)
	require.NoError(t, err)
}

// connectAsAPI connects with the settings by which the API reads.
func connectAsAPI(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	config, err := pgx.ParseConfig(url)
	require.NoError(t, err)
	config.RuntimeParams["role"] = "audittrail_api"
	config.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	config.RuntimeParams["jit"] = "off"
	conn, err := pgx.ConnectConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) })
	return conn
}
