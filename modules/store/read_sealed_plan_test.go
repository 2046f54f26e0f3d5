package store

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
)

// 40,000 events over two months with a sealed value: 5 of them are rare, half are common, and 100 of those have a term
// that is open.
const fillSealedSQL = `
	INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
		aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
	SELECT 16384 + n, at, now(), n, 0, 1, gen_random_uuid(), 'T', 'A', 'a', 't', decode(repeat('00', 16), 'hex'),
		jsonb_build_object('n', n, 'name', '{"$sealed":0}'::jsonb, 'term', n / 400), '{}'
	FROM (SELECT n, timestamptz '2026-01-01' + n * (interval '55 days' / 40000) AS at FROM generate_series(0, 39999) AS n) AS numbered`

const fillTokensSQL = `
	INSERT INTO sealed_tokens (token, timestamp, id, key, place)
	SELECT CASE WHEN id % 8000 = 1 THEN convert_to('rare', 'UTF8') || decode(repeat('00', 12), 'hex') WHEN id % 2 = 0 THEN convert_to('common', 'UTF8') || decode(repeat('00', 10), 'hex') ELSE decode(md5(id::text), 'hex') END,
		timestamp, id, gen_random_uuid(), 0 FROM events`

// A page of a search by a sealed value reads little more than its events, rare or common, whether or not PostgreSQL
// has statistics yet.
func TestSearchesForSealedValuesReadFewBlocks(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	owner, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, owner.Close(context.WithoutCancel(t.Context()))) }()
	for _, sql := range []string{
		`SELECT ensure_partition('events', m::date) FROM generate_series('2026-01-01', timestamptz '2026-02-01', '1 month') AS m`,
		`ALTER TABLE sealed_tokens SET (autovacuum_enabled = off)`, fillSealedSQL, fillTokensSQL,
	} {
		_, err := owner.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	for _, name := range partitionsOf(t, owner) {
		_, err := (&Upkeep{&Lead{conn: owner}}).CleanPendingLists(t.Context(), name)
		require.NoError(t, err)
	}
	conn := connectAsAPI(t, url)

	ctx := WithScope(t.Context(), Everything())
	search := func(token, rest string) Filter {
		f := Filter{Payload: []byte(`{"name":"x"` + rest + `}`)}
		p := protect.Pattern{Parts: [][]byte{[]byte(`{"name":`), []byte(rest + `}`)}, Values: []protect.SoughtValue{{
			Open: []byte(`"x"`), Tokens: []protect.TokenValue{tokenText(token)},
		}}}
		if rest != "" {
			p.Rest = []byte("{" + rest[1:] + "}")
		}
		f.sought = &sought{[]soughtPattern{{p, columnPayload}}, Everything()}
		return f
	}
	for _, statistics := range []string{"no", "with"} {
		more := int64(200) // without statistics, PostgreSQL finds out slowly that no event has the value open
		if statistics == "with" {
			more = 0
			_, err := owner.Exec(t.Context(), "ANALYZE events, sealed_tokens")
			require.NoError(t, err)
		}
		for name, c := range map[string]struct {
			filter     Filter
			rows, most int64
		}{
			"rare":              {search("rare", ""), 5, 120},
			"common":            {search("common", ""), 51, 600},
			"common, with open": {search("common", `,"term":7`), 51, 2000},
			"never":             {search("never", ""), 0, 60},
		} {
			rows, blocks := searchCosts(ctx, t, conn, c.filter)
			t.Logf("%s statistics, %s: %d rows, %d blocks", statistics, name, rows, blocks)
			if rows != c.rows || blocks > c.most+more {
				t.Errorf("%s statistics, %s: %d rows of %d blocks, want %d of %d at most", statistics, name, rows, blocks, c.rows, c.most+more)
			}
		}
	}
}

// tokenText is a token that the test's rows spell as text.
func tokenText(text string) (t protect.TokenValue) {
	copy(t[:], text)
	return t
}
