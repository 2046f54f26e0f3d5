package migrations_test

import (
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// mutable are the tables that hold state and no history. Every other one must be protected.
func mutable() []string {
	return []string{"schema_migrations", "ingest_offsets", "dead_letter_outbox", "ledger_pending", "state_snapshots", "redrive_requests", "redrive_items", "dead_letter_tally",
		"replays", "replay_failures", "sealed_refs", "sealed_tokens", "wrapping_keys", "root_key", "subject_keys", "letter_keys",
		"shredded_subjects", "shreds", "analytics_cursors", "anomalies", "rollup_events", "rollup_users"}
}

// history makes a database in which every protected table, and every partition, holds a row.
func history(t *testing.T) (conn *pgx.Conn, protected []string) {
	t.Helper()
	conn = connect(t, migratetest.Database(t))
	execute(t, conn, "SELECT ensure_partition('events', '2999-05-01')")
	lows := list[*string](t, conn, `SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']*)''\)')
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'events'::regclass`)
	for i, low := range lows {
		require.NotNil(t, low)
		if *low == "-infinity" {
			*low = "1948-01-01"
		}
		addEvent(t, conn, int64(i), *low)
	}
	execute(t, conn, `INSERT INTO event_keys VALUES (gen_random_uuid(), 1, now(), '\x00')`)
	for _, low := range list[string](t, conn, `SELECT substring(pg_get_expr(c.relpartbound, c.oid) FROM 'FROM \(''([^'']*)''\)')
		FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'access_log'::regclass`) {
		execute(t, conn, `INSERT INTO access_log VALUES (1, $1::text::timestamptz, '{}')`, low)
	}
	execute(t, conn, `INSERT INTO event_values VALUES ('source', 'shop', '2026-01-01')`)
	execute(t, conn, `INSERT INTO event_values_open VALUES ('source')`)
	execute(t, conn, `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
		VALUES ('events', 0, 1, 1, now(), now(), now(), decode(repeat('00', 32), 'hex'))`)
	execute(t, conn, `INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES ('events', 1, 0, 0, decode(repeat('00', 32), 'hex'))`)
	execute(t, conn, `INSERT INTO ledger_checkpoints (log, size, signed_at, root, note) VALUES ('events', 1, now(), decode(repeat('00', 32), 'hex'), 'note')`)
	execute(t, conn, `INSERT INTO ledger_signatures (log, size, signed_at, signer, line) VALUES ('events', 1, now(), 'key', '— key signature')`)
	execute(t, conn, `INSERT INTO ingest_admissions (from_offset, to_offset, topic_id, from_log, to_log, partition, topic, admitted_by, reason)
		SELECT 0, 1, log, log, log, 0, 'orders', 'me', 'lost' FROM gen_random_uuid() AS log`)
	execute(t, conn, `INSERT INTO ingest_topics (topic, topic_id) VALUES ('orders', gen_random_uuid())`)
	execute(t, conn, `INSERT INTO ingest_ranges (topic_id, partition, from_offset, to_offset, stored, duplicates, dead_lettered, absent, recorded_at)
		VALUES (gen_random_uuid(), 0, 0, 1, 0, 1, 0, 0, now())`)
	execute(t, conn, `INSERT INTO dead_letters ("offset", received_at, topic_id, partition, topic, reason, field, detail, header_keys, header_values)
		VALUES (0, now(), gen_random_uuid(), 0, 'orders', 'empty_value', '', '', '{}', '{}')`)
	execute(t, conn, `INSERT INTO dead_letter_fates (dead_letter_id, decided_at, decided_by, reason) SELECT id, now(), 'me', 'a test' FROM dead_letters`)
	protected = list[string](t, conn, `SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND relname <> ALL ($1) ORDER BY 1`, mutable())
	for _, table := range protected {
		require.True(t, scan[bool](t, conn, "SELECT EXISTS (SELECT FROM "+table+")"), "%s has no row: what is refused can't be seen", table)
	}
	return conn, protected
}

func TestHistoryIsAppendOnlyForEverybody(t *testing.T) {
	conn, protected := history(t)
	for _, replication := range []string{"origin", "replica", "local"} {
		execute(t, conn, "SET session_replication_role = "+replication) // what a superuser may do
		for _, table := range protected {
			column := scan[string](t, conn, `SELECT quote_ident(attname) FROM pg_attribute
				WHERE attrelid = $1::text::regclass AND attnum > 0 AND attidentity = '' ORDER BY attnum LIMIT 1`, table)
			for _, sql := range []string{
				fmt.Sprintf("UPDATE %s SET %s = %s", table, column, column),
				fmt.Sprintf("DELETE FROM %s", table),
				fmt.Sprintf("DELETE FROM ONLY %s", table),
				fmt.Sprintf("TRUNCATE %s CASCADE", table),
				fmt.Sprintf("MERGE INTO %s USING (VALUES (1)) AS v ON true WHEN MATCHED THEN DELETE", table),
			} {
				if partitioned := scan[bool](t, conn, "SELECT relkind = 'p' FROM pg_class WHERE oid = $1::text::regclass", table); partitioned && sql == "DELETE FROM ONLY "+table {
					continue // it has no rows of its own
				}
				failed := try(t, conn, sql)
				require.NotNil(t, failed, "%s as %s", sql, replication)
				require.Contains(t, failed.Message, "append-only", "%s as %s", sql, replication)
			}
		}
	}
}

// The one change of history: a digest is erased, by nobody but the owner, and for good.
func TestOnlyADigestCanBeErased(t *testing.T) {
	conn, _ := history(t)
	execute(t, conn, `INSERT INTO event_keys VALUES ('00000000-0000-0000-0000-000000000001', 1, now(), decode('02' || repeat('ab', 16), 'hex'))`)
	const of = ` WHERE event_id = '00000000-0000-0000-0000-000000000001'`
	const erased = `digest = decode(repeat('00', 17), 'hex')`
	require.Contains(t, try(t, conn, `UPDATE event_keys SET digest = decode('02' || repeat('cd', 16), 'hex')`+of).Message, "append-only")
	require.Contains(t, try(t, conn, `UPDATE event_keys SET batch = 2, `+erased+of).Message, "append-only")
	require.Contains(t, try(t, conn, `UPDATE event_keys SET digest = '\x00'`+of).Message, "append-only")
	for _, role := range runtimeRoles() {
		require.False(t, allowed(t, connectAs(t, conn.Config().ConnString(), role), `UPDATE event_keys SET `+erased+of), role)
	}
	execute(t, conn, `UPDATE event_keys SET `+erased+of)
	require.Contains(t, try(t, conn, `UPDATE event_keys SET digest = decode('02' || repeat('ab', 16), 'hex')`+of).Message, "append-only")
}

// A destroyed key does not come back, and its row can be wrapped anew.
func TestADestroyedKeyStaysDestroyed(t *testing.T) {
	conn := connect(t, migratetest.Database(t))
	execute(t, conn, `INSERT INTO wrapping_keys (id, wrapped) VALUES ('00000000-0000-0000-0000-000000000001', ''), ('00000000-0000-0000-0000-000000000002', '')`)
	execute(t, conn, `INSERT INTO subject_keys (id, wrapped_by, subject, wrapped)
		VALUES (gen_random_uuid(), '00000000-0000-0000-0000-000000000001', decode(repeat('07', 16), 'hex'), 'key')`)
	require.Len(t, scan[[]string](t, conn, `SELECT destroyed::text[] FROM destroy_subject_keys(decode(repeat('07', 16), 'hex'), now(), NULL)`), 1)
	require.Contains(t, try(t, conn, `UPDATE subject_keys SET wrapped = 'key'`).Message, "does not come back")
	execute(t, conn, `UPDATE subject_keys SET wrapped_by = '00000000-0000-0000-0000-000000000002'`)
	require.Empty(t, scan[[]string](t, conn, `SELECT destroyed::text[] FROM destroy_subject_keys(decode(repeat('07', 16), 'hex'), now(), NULL)`))
}

func TestHistoryIsAppendOnlyForItsOwner(t *testing.T) {
	conn, protected := history(t)
	execute(t, conn, "SET ROLE audittrail_owner")
	for _, table := range protected {
		failed := try(t, conn, "DELETE FROM "+table)
		require.NotNil(t, failed, table)
		require.Contains(t, failed.Message, "append-only")
	}
}

// The catalogue walk: a table that a later migration adds and forgets to protect is found here.
func TestEveryTableOfHistoryIsProtected(t *testing.T) {
	conn, _ := history(t)
	const rowTrigger = 1 | 2 | 8 | 16 // for each row, before, delete, update
	const truncateTrigger = 2 | 32    // for each statement, before, truncate
	unprotected := list[string](t, conn, `
		SELECT c.oid::regclass || ' lacks ' || want.type
		FROM pg_class c, (VALUES ($2::int), ($3::int)) AS want (type)
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'f', 'm') AND c.relname <> ALL ($1)
		  AND NOT EXISTS (SELECT FROM pg_trigger g WHERE g.tgrelid = c.oid AND g.tgtype = want.type AND g.tgenabled = 'A'
		                  AND g.tgqual IS NULL AND g.tgattr::text = '' AND g.tgfoid = 'public.refuse_change()'::regprocedure)`,
		mutable(), rowTrigger, truncateTrigger)
	require.Empty(t, unprotected)
	require.Empty(t, list[string](t, conn, `SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relpersistence <> 'p'`), "unlogged: emptied by a crash")
	require.Empty(t, list[string](t, conn, `SELECT ev_class::regclass::text || '.' || rulename FROM pg_rewrite
		WHERE ev_class IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind <> 'v')`), "a rule comes before triggers")
}

func TestEveryTextIsOrderedByBytes(t *testing.T) {
	conn := connect(t, migratetest.Database(t))
	require.Empty(t, list[string](t, conn, `SELECT a.attrelid::regclass || '.' || a.attname
		FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
		WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I') AND NOT a.attisdropped AND a.attnum > 0
		  AND a.attcollation NOT IN (0, 'pg_catalog."C"'::regcollation)`), "columns, and index columns and expressions")
}
