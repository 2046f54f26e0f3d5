package migrations_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// runtimeRoles are the database roles of the program's roles.
func runtimeRoles() []string {
	return []string{"audittrail_ingest", "audittrail_api", "audittrail_replay", "audittrail_analytics", "audittrail_maintain", "audittrail_notary"}
}

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func connectAs(t testing.TB, url, role string) *pgx.Conn {
	t.Helper()
	return connect(t, migratetest.AsRole(t, url, role))
}

func execute(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err, sql)
}

func scan[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, conn.QueryRow(t.Context(), sql, args...).Scan(&v), sql)
	return v
}

func list[T any](t testing.TB, conn *pgx.Conn, sql string, args ...any) []T {
	t.Helper()
	rows, err := conn.Query(t.Context(), sql, args...)
	require.NoError(t, err, sql)
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	require.NoError(t, err, sql)
	return all
}

// try executes sql in a transaction that is rolled back, and answers the server's error; nil where
// there was none.
func try(t testing.TB, conn *pgx.Conn, sql string, args ...any) *pgconn.PgError {
	t.Helper()
	tx, err := conn.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	_, err = tx.Exec(t.Context(), sql, args...)
	if err == nil {
		return nil
	}
	var failed *pgconn.PgError
	require.ErrorAs(t, err, &failed, sql)
	return failed
}

// tables are all tables of ours but partitions.
func tables(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	return list[string](t, conn, `SELECT relname::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition ORDER BY 1`)
}

// partitions are all partitions of events.
func partitions(t testing.TB, conn *pgx.Conn) []string {
	t.Helper()
	return list[string](t, conn, `SELECT c.relname::text FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
		WHERE i.inhparent = 'public.events'::regclass ORDER BY 1`)
}

// addEvent inserts a row as an append does.
func addEvent(t testing.TB, conn *pgx.Conn, id int64, timestamp string) {
	t.Helper()
	execute(t, conn, `INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
		aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		VALUES ($1, $2::text::timestamptz, now(), 0, 0, 1, gen_random_uuid(), 'OrderPlaced', 'Order', 'o-1', 'orders', '\x00', '{}', '{}')`,
		id, timestamp)
}
