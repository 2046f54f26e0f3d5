package store

import (
	"context"
	"slices"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// A million events over 14 months. What "mid-…" marks stopped in the middle of the twelfth, and what "old-…"
// marks a year before the end.
const fillMonthsSQL = `
	INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
		aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
	SELECT 16384 + n, at, now(), n, 0, 1, gen_random_uuid(),
		CASE WHEN n % 100 = 1 AND at < '2026-12-16' THEN 'mid-type' WHEN n % 100 = 2 AND at < '2026-03-01' THEN 'old-type' ELSE 'T' || n % 20 END,
		'A', 'a' || n % 50000, 't', decode(repeat('00', 16), 'hex'),
		jsonb_build_object('n', n, 'lines', jsonb_build_array(jsonb_build_object('sku', 'sku-' || n % 1000, 'qty', n % 7)), 'term',
			CASE WHEN n % 100 = 3 AND at < '2026-12-16' THEN 'mid-term' WHEN n % 100 = 4 AND at < '2026-03-01' THEN 'old-term' ELSE 'term-' || n % 500 END),
		jsonb_build_object('correlationId', 'w' || n / 5, 'causationId', 'c' || n,
			'userId', CASE WHEN n % 100 = 5 AND at < '2026-12-16' THEN 'mid-user' WHEN n % 100 = 6 AND at < '2026-03-01' THEN 'old-user' ELSE 'u' || n % 3000 END,
			'source', CASE WHEN n % 100 = 7 AND at < '2026-12-16' THEN 'mid-source' WHEN n % 100 = 8 AND at < '2026-03-01' THEN 'old-source' ELSE 's' || n % 5 END)
	FROM (SELECT n, timestamptz '2026-01-01' + n * (interval '424 days' / 1000000) AS at FROM generate_series(0, 999999) AS n) AS numbered`

// However long ago something stopped, the newest events that have it are found without reading much more than
// these. Blocks are counted, since time depends on the machine.
func TestSearchesReadFewBlocks(t *testing.T) {
	longtest.Only(t, "it searches among a million events")
	t.Parallel()
	url := migratetest.Database(t)
	owner, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, owner.Close(context.WithoutCancel(t.Context()))) }()
	for _, sql := range []string{
		`SELECT ensure_partition('events', m::date) FROM generate_series('2026-01-01', timestamptz '2027-02-01', '1 month') AS m`,
		fillMonthsSQL,
		`INSERT INTO event_values SELECT DISTINCT field, value, date_trunc('month', timestamp)::date
		 FROM events, LATERAL (VALUES ('eventType', event_type), ('aggregateType', aggregate_type), ('source', metadata ->> 'source')) AS v (field, value)`,
	} {
		_, err := owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	for _, name := range partitionsOf(t, owner) {
		upkeep := &Upkeep{&Lead{conn: owner}}
		require.NoError(t, upkeep.Analyse(t.Context(), name))
		_, err := upkeep.Summarise(t.Context(), name)
		require.NoError(t, err)
		_, err = upkeep.CleanPendingLists(t.Context(), name)
		require.NoError(t, err)
	}

	pool := openOwner(t, url)
	for _, name := range partitionsOf(t, owner) {
		if name < "events_202702" { // the last month goes on
			require.NoError(t, BuildByCause(t.Context(), pool, name))
		}
	}

	conn := connectAsAPI(t, url)

	for name, c := range map[string]struct {
		filter Filter
		most   int64
	}{
		"type, mid":      {Filter{EventTypes: []string{"mid-type"}}, 400},
		"type, old":      {Filter{EventTypes: []string{"old-type"}}, 400},
		"user, mid":      {Filter{UserID: "mid-user"}, 400},
		"user, old":      {Filter{UserID: "old-user"}, 400},
		"source, mid":    {Filter{Source: "mid-source"}, 4000}, // half a partition: sources have no index
		"source, old":    {Filter{Source: "old-source"}, 800},
		"term, mid":      {Filter{Payload: []byte(`{"term":"mid-term"}`)}, 1000},
		"term, old":      {Filter{Payload: []byte(`{"term":"old-term"}`)}, 1000},
		"cause":          {Filter{CausationID: "c77777"}, 400}, // the last month's BRIN index is read whole
		"aggregate's id": {Filter{AggregateID: "a777"}, 400},
		"correlation":    {Filter{CorrelationID: "w7777"}, 400},
	} {
		rows, blocks := searchCosts(WithScope(t.Context(), Everything()), t, conn, c.filter)
		t.Logf("%s: %d rows, %d blocks", name, rows, blocks)
		if blocks > c.most {
			t.Errorf("%s: %d blocks were read, at most %d", name, blocks, c.most)
		}
	}
	for name, c := range map[string]struct {
		scope ScopePart
		most  int64
	}{
		"everything":  {ScopePart{EventTypes: []string{"*"}}, 400},
		"half of all": {ScopePart{EventTypes: []string{"T1*"}}, 400},
		"types, mid":  {ScopePart{EventTypes: []string{"mid-*", "none*"}}, 800},
		"types, old":  {ScopePart{EventTypes: []string{"old-*"}}, 800},
		"suffix, mid": {ScopePart{EventTypes: []string{"*id-type"}}, 4000}, // half a partition: no index finds it
		"source, mid": {ScopePart{Sources: []string{"mid-*"}}, 4000},
		"source, old": {ScopePart{Sources: []string{"old-*"}}, 800},
		"nothing":     {ScopePart{AggregateTypes: []string{"B*"}}, 0},
	} {
		rows, blocks := searchCosts(WithScope(t.Context(), Only(c.scope)), t, conn, Filter{})
		t.Logf("scope of %s: %d rows, %d blocks", name, rows, blocks)
		if blocks > c.most {
			t.Errorf("scope of %s: %d blocks were read, at most %d", name, blocks, c.most)
		}
	}
}

func partitionsOf(t *testing.T, conn *pgx.Conn) []string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'events'::regclass`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return names
}

// searchCosts answers how many rows the first page of a search has, up to 51, and how many blocks its statements
// touch.
func searchCosts(ctx context.Context, t *testing.T, conn *pgx.Conn, f Filter) (rows, blocks int64) {
	t.Helper()
	const want = 51
	where, left, err := NewReader(ReaderOptions{}).search(ctx, conn, f, f.From, f.To)
	require.NoError(t, err)
	slices.Reverse(left)
	for statement := 0; len(left) > 0 && rows < want; statement++ {
		var part []span
		part, left = cut(left, statement)
		s := overSpans(part, where, Descending, int(want-rows))
		undo, err := s.plannerSettings(t.Context(), conn)
		require.NoError(t, err)
		sql, args := s.sql(scopesOf(ctx))
		var text []byte
		require.NoError(t, conn.QueryRow(t.Context(), "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "+sql, append([]any{pgx.QueryExecModeExec}, args...)...).Scan(&text))
		undo()
		var plans []struct {
			Plan struct {
				Rows int64 `json:"Actual Rows"`
				Hit  int64 `json:"Shared Hit Blocks"`
				Read int64 `json:"Shared Read Blocks"`
			}
		}
		require.NoError(t, json.Unmarshal(text, &plans))
		rows, blocks = rows+plans[0].Plan.Rows, blocks+plans[0].Plan.Hit+plans[0].Plan.Read
	}
	return rows, blocks
}
