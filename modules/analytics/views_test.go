package analytics_test

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
)

// appendSealed stores events with sealed values: of payload, of metadata, in lists, and texts that look like sealed ones.
func (f *fixture) appendSealed(t *testing.T, count int64) {
	t.Helper()
	rules, err := protect.NewRules([]protect.RuleOptions{
		{EventType: "Order*", Path: "$.payload.customer.name", Subject: "$.payload.customer.id", Search: true},
		{EventType: "Order*", Path: "$.payload.lines[*].note", Subject: "$.payload.customer.id"},
		{EventType: "OrderPlaced", Path: "$.metadata.userId", Subject: "$.payload.customer.id"},
	})
	require.NoError(t, err)
	keys := protect.NewKeyring(store.NewKeys(openPool(t, f.url, "audittrail_ingest")), (&protecttest.KEK{}).Open)
	var all []event.Valid
	for i := range count {
		all = append(all, protecttest.Valid(fmt.Sprintf(`{"eventId":"0190d3f1-7c3a-7b1e-8a00-%012x","eventType":%q,"aggregateId":"o-%d","aggregateType":"Order",
			"timestamp":%q,"version":%d,"payload":{"customer":{"id":"C-%d","name":"Ermintrude"},"text":"{\"$sealed\": 0}","lines":[{"note":"for Ermintrude"},{"note":"Ermintrude"}],"total":%d},
			"metadata":{"correlationId":"c-%d","userId":"eve","source":"shop"}}`,
			i, []string{"OrderPlaced", "OrderPaid"}[i%2], i/2, time.Date(2026, 3, 1, 0, 0, int(i), 0, time.UTC).Format(time.RFC3339), i%2+1, i%3, i, i/2),
			event.Coordinates{TopicID: partition.TopicID, Topic: partition.Topic, Offset: f.offset + i}))
	}
	sealed, err := protect.WithRules(rules, keys).Seal(t.Context(), all)
	require.NoError(t, err)
	_, err = f.appender.Append(t.Context(), store.Batch{Ranges: []store.Range{{Partition: partition, From: f.offset, To: f.offset + count, LeaderEpoch: -1}}, Events: sealed})
	require.NoError(t, err)
	f.offset += count
}

// Analysts' views show each event as the API shows it to a reader without pii:read, and nothing of what sealing keeps.
func TestViewsShowNothingSealed(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.appendSealed(t, 40)
	f.appendAll(t, purchaseOrders(t)[:500])
	conn, err := pgx.Connect(t.Context(), migratetest.AsRole(t, f.url, "audittrail_analyst"))
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test has its answers

	reader := store.NewReader(store.ReaderOptions{Pool: openPool(t, f.url, "audittrail_api")})
	n := 0
	for page, err := range reader.Export(t.Context(), store.Filter{}, store.Ascending, "", 1<<40) {
		require.NoError(t, err)
		for _, want := range page {
			n++
			var got struct {
				position                         int64
				kind, aggregateType, aggregateID string
				source, user, correlation        *string
				version                          int32
				at, recorded                     time.Time
				payload, metadata                string
				hasSealed                        bool
			}
			require.NoError(t, conn.QueryRow(t.Context(), `SELECT position, event_type, aggregate_type, aggregate_id, source, user_id, correlation_id, version, timestamp, recorded_at,
				payload::text, metadata::text, has_sealed FROM analyst_events WHERE event_id = $1 AND timestamp = $2`, want.ID.String(), want.Timestamp).
				Scan(&got.position, &got.kind, &got.aggregateType, &got.aggregateID, &got.source, &got.user, &got.correlation, &got.version, &got.at, &got.recorded, &got.payload, &got.metadata, &got.hasSealed))
			require.Equal(t, want.Position, got.position)
			require.Equal(t, []any{want.Type, want.AggregateType, want.AggregateID, want.Version}, []any{got.kind, got.aggregateType, got.aggregateID, got.version})
			require.True(t, want.Timestamp.Equal(got.at) && want.RecordedAt.Equal(got.recorded))
			require.JSONEq(t, string(want.Payload), got.payload)
			require.JSONEq(t, string(want.Metadata), got.metadata)
			sealed, erased := protect.Placeholders(&want.Event)
			require.Equal(t, sealed || erased, got.hasSealed)
		}
	}
	require.Equal(t, 540, n)

	f.start(t)
	f.caughtUp(t)
	require.NotContains(t, everything(t, conn), "Ermintrude")
	var secrets []string // what no view may hold, in the spellings of both formats
	for _, sql := range []string{`SELECT salt FROM events`, `SELECT sealed FROM events WHERE sealed IS NOT NULL`, `SELECT digest FROM event_keys`, `SELECT token FROM sealed_tokens`, `SELECT wrapped FROM subject_keys`} {
		rows, _ := f.conn.Query(t.Context(), sql)
		found, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
		require.NoError(t, err)
		require.NotEmpty(t, found, sql)
		for _, s := range found {
			secrets = append(secrets, string(s), hex.EncodeToString(s))
		}
	}
	all := everything(t, conn)
	for _, s := range secrets {
		require.False(t, strings.Contains(all, s), "a secret is in a view") //nolint:testifylint // NotContains would print all of it
	}
	var total, steps int64
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT sum(count) FROM analyst_event_counts WHERE unit = 'hour'`).Scan(&total))
	require.EqualValues(t, 540, total)
	require.NoError(t, conn.QueryRow(t.Context(), `SELECT count(*) FROM analyst_steps WHERE aggregate_type = 'Order' AND from_type = 'OrderPlaced' AND to_type = 'OrderPaid' AND seconds = 1`).Scan(&steps))
	require.EqualValues(t, 20, steps)
	var users []string
	rows, _ := conn.Query(t.Context(), `SELECT DISTINCT event_type FROM analyst_user_counts WHERE user_id = 'eve'`)
	users, err = pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.Equal(t, []string{"OrderPaid"}, users, "the user of OrderPlaced is sealed")
}

// everything is what the analysts' views hold, as text and in binary.
func everything(t *testing.T, conn *pgx.Conn) string {
	t.Helper()
	rows, _ := conn.Query(t.Context(), `SELECT relname::text FROM pg_class WHERE relname LIKE 'analyst\_%' AND relkind = 'v'`)
	views, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.NotEmpty(t, views)
	var out strings.Builder
	for _, view := range views {
		for _, format := range []string{"TEXT", "BINARY"} {
			_, err := conn.PgConn().CopyTo(t.Context(), &out, "COPY (SELECT * FROM "+view+") TO STDOUT (FORMAT "+format+")")
			require.NoError(t, err)
		}
	}
	return out.String()
}
