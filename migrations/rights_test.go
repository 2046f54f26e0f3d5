package migrations_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// rights are the whole of what a runtime role may do to tables.
type rights struct {
	insert []string
	update map[string][]string // columns by table
	remove []string
}

// expectedRights says it for each role. All may read every table but those of keys, none may truncate.
func expectedRights() map[string]rights {
	return map[string]rights{
		"audittrail_ingest": {
			insert: []string{
				"dead_letter_outbox", "dead_letters", "event_keys", "event_values", "event_values_open", "events", "ingest_admissions",
				"ingest_offsets", "ingest_ranges", "ingest_topics", "ledger_batches", "letter_keys", "root_key", "sealed_refs", "sealed_tokens", "subject_keys", "wrapping_keys",
			},
			update: map[string][]string{
				"ingest_offsets":     {"cut_at", "cut_end", "leader_epoch", "next_offset", "updated_at"},
				"dead_letter_outbox": {"published_at"},
			},
		},
		"audittrail_api": {
			insert: []string{"access_log", "dead_letter_fates", "ledger_pending", "letter_keys", "redrive_items", "redrive_requests", "replays", "root_key", "shreds", "state_snapshots", "subject_keys", "wrapping_keys"},
			remove: []string{"state_snapshots"},
			update: map[string][]string{"replays": {"asked", "asked_at", "asked_by", "wanted"}, "anomalies": {"decided_at", "decided_by", "reason", "state"}},
		},
		"audittrail_replay": {
			insert: []string{
				"dead_letter_fates", "event_keys", "event_values", "event_values_open", "events", "ledger_batches", "letter_keys", "replay_failures", "root_key", "sealed_refs",
				"sealed_tokens", "subject_keys", "wrapping_keys",
			},
			remove: []string{"replay_failures"},
			update: map[string][]string{
				"redrive_requests": {"finished_at", "value"},
				"redrive_items":    {"detail", "field", "outcome", "reason", "tried_at"},
				"replays":          {"error", "finished_at", "heeded", "lease", "leased_until", "position", "rate", "sent", "started_at", "state"},
				"replay_failures":  {"attempts", "failed_at", "reason"},
			},
		},
		"audittrail_analytics": {
			insert: []string{"analytics_cursors", "anomalies", "rollup_events", "rollup_users"},
			update: map[string][]string{
				"analytics_cursors": {"form", "name", "position", "updated_at"},
				"rollup_events":     {"aggregate_type", "aggregates", "count", "event_type", "source", "start", "unit", "users"},
				"rollup_users":      {"count", "event_type", "start", "unit", "user_id"},
			},
		},
		"audittrail_maintain": {
			insert: []string{"access_log", "ledger_pending", "shreds"},
			update: map[string][]string{
				"shreds": {"digests", "earlier_at", "entry", "erased_at", "events", "finished_at", "keys", "restored", "state", "tokens", "vacuumed"},
			},
		},
		"audittrail_notary": {insert: []string{"ledger_checkpoints", "ledger_signatures", "ledger_tiles"}},
	}
}

// mayRead says whether a role may read a table. Keys are for those who seal and open, and statistics say nothing of
// sealed values.
func mayRead(role, table string) bool {
	switch table {
	case "shreds":
		return role == "audittrail_api" || role == "audittrail_maintain"
	case "shredded_subjects", "letter_keys":
		return role == "audittrail_ingest" || role == "audittrail_api" || role == "audittrail_replay" || role == "audittrail_maintain"
	case "wrapping_keys", "root_key", "subject_keys":
		return role == "audittrail_ingest" || role == "audittrail_api" || role == "audittrail_replay"
	case "sealed_refs", "sealed_tokens":
		return role != "audittrail_analytics"
	}
	return true
}

// allowed says whether a role may execute a statement, by trying. What fails for another reason than
// the role's rights, such as a missing value, is allowed.
func allowed(t *testing.T, conn *pgx.Conn, sql string) bool {
	t.Helper()
	failed := try(t, conn, sql)
	return failed == nil || failed.Code != "42501" || !strings.Contains(failed.Message, "permission denied")
}

func TestRolesMayDoNothingButTheirWork(t *testing.T) {
	url := migratetest.Database(t)
	owner := connect(t, url)
	for role, want := range expectedRights() {
		conn := connectAs(t, url, role)
		for _, table := range tables(t, owner) {
			name := pgx.Identifier{table}.Sanitize()
			require.Equal(t, mayRead(role, table), allowed(t, conn, "SELECT FROM "+name), "%s: select from %s", role, table)
			require.Equal(t, slices.Contains(want.insert, table), allowed(t, conn, "INSERT INTO "+name+" DEFAULT VALUES"), "%s: insert into %s", role, table)
			require.Equal(t, slices.Contains(want.remove, table), allowed(t, conn, "DELETE FROM "+name+" WHERE false"), "%s: delete from %s", role, table)
			require.False(t, allowed(t, conn, "TRUNCATE "+name), "%s: truncate %s", role, table)
			require.False(t, allowed(t, conn, "CREATE TRIGGER t BEFORE UPDATE ON "+name+" EXECUTE FUNCTION suppress_redundant_updates_trigger()"), "%s: trigger on %s", role, table)
			require.Equal(t, want.update[table], updatable(t, owner, conn, table), "%s: update %s", role, table)
		}
	}
}

// updatable are the columns that conn may update.
func updatable(t *testing.T, owner, conn *pgx.Conn, table string) []string {
	t.Helper()
	var may []string
	for _, column := range list[string](t, owner, `SELECT attname::text FROM pg_attribute
		WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY 1`, "public."+table) {
		sql := "UPDATE " + pgx.Identifier{table}.Sanitize() + " SET " + pgx.Identifier{column}.Sanitize() + " = DEFAULT WHERE false"
		if allowed(t, conn, sql) {
			may = append(may, column)
		}
	}
	return may
}

func TestPartitionsAreReadByMaintainOnly(t *testing.T) {
	url := migratetest.Database(t)
	owner := connect(t, url)
	execute(t, owner, "SELECT ensure_partition('events', '2999-05-01')")
	for _, role := range runtimeRoles() {
		conn := connectAs(t, url, role)
		for _, partition := range partitions(t, owner) {
			for _, sql := range []string{"SELECT FROM %", "INSERT INTO % DEFAULT VALUES", "UPDATE % SET id = 1 WHERE false", "DELETE FROM % WHERE false", "TRUNCATE %"} {
				sql = strings.ReplaceAll(sql, "%", partition)
				may := role == "audittrail_maintain" && strings.HasPrefix(sql, "SELECT")
				require.Equal(t, may, allowed(t, conn, sql), "%s: %s", role, sql)
			}
		}
	}
}

func TestRolesMakeNothing(t *testing.T) {
	url := migratetest.Database(t)
	for _, role := range runtimeRoles() {
		conn := connectAs(t, url, role)
		for _, sql := range []string{
			"CREATE TABLE public.mine ()",
			"CREATE FUNCTION public.now() RETURNS timestamptz LANGUAGE sql AS 'SELECT NULL::timestamptz'",
			"CREATE SCHEMA mine",
			"ALTER TABLE events DISABLE TRIGGER ALL",
			"SELECT setval('event_batches', 1)",
			"SELECT protect('ingest_offsets')",
			"SELECT refuse_change()",
			"SET session_replication_role = replica",
		} {
			require.NotNil(t, try(t, conn, sql), "%s: %s", role, sql)
		}
	}
}

func TestWhoMayCallWhat(t *testing.T) {
	url := migratetest.Database(t)
	for _, role := range runtimeRoles() {
		conn := connectAs(t, url, role)
		makes := role == "audittrail_ingest" || role == "audittrail_maintain"
		makes = makes || role == "audittrail_api" || role == "audittrail_replay" // for the access log, and redriven events
		require.Equal(t, makes, allowed(t, conn, "SELECT ensure_partition('events', '2999-01-01')"), "%s: ensure_partition", role)
		writes := role == "audittrail_ingest" || role == "audittrail_replay"
		require.Equal(t, writes, allowed(t, conn, "SELECT nextval('event_batches')"), "%s: event_batches", role)
		require.Equal(t, role == "audittrail_ingest", allowed(t, conn, "SELECT count_dead_letters()"), "%s: count_dead_letters", role)
		maintains := role == "audittrail_maintain"
		require.Equal(t, role == "audittrail_api" || maintains, allowed(t, conn, "SELECT nextval('access_batches')"), "%s: access_batches", role)
		require.Equal(t, maintains, allowed(t, conn, "SELECT subject_key('')"), "%s: subject_key", role)
		require.Equal(t, maintains, allowed(t, conn, "SELECT destroy_subject_keys('', now(), NULL)"), "%s: destroy_subject_keys", role)
		require.Equal(t, maintains, allowed(t, conn, "SELECT sweep_key(gen_random_uuid(), 1)"), "%s: sweep_key", role)
		numbers := role == "audittrail_api" || role == "audittrail_notary"
		require.Equal(t, numbers, allowed(t, conn, "SELECT number_pending('access')"), "%s: number_pending", role)
		require.Equal(t, role == "audittrail_analytics", allowed(t, conn, "SELECT reset_analytics()"), "%s: reset_analytics", role)
	}
	require.Empty(t, list[string](t, connect(t, url), `SELECT p.oid::regprocedure::text FROM pg_proc p,
		aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
		WHERE p.pronamespace = 'public'::regnamespace AND a.grantee = 0`), "functions that everybody may call")
}

// A production login is a member of the runtime roles that inherits nothing.
func TestLoginWithoutRoleMayDoNothing(t *testing.T) {
	url := migratetest.Database(t)
	owner := connect(t, url)
	execute(t, owner, `DO $$ BEGIN CREATE ROLE serve_login NOINHERIT IN ROLE audittrail_ingest, audittrail_api;
		EXCEPTION WHEN duplicate_object THEN NULL; END $$`)
	conn := connect(t, url)
	execute(t, conn, "SET SESSION AUTHORIZATION serve_login")
	for _, table := range tables(t, owner) {
		require.False(t, allowed(t, conn, "SELECT FROM "+pgx.Identifier{table}.Sanitize()), table)
	}
	require.NotNil(t, try(t, conn, "SET ROLE audittrail_owner"))
	require.NotNil(t, try(t, conn, "SET ROLE audittrail_maintain"))
	require.Nil(t, try(t, conn, "SET ROLE audittrail_api"))
}

func TestEverythingBelongsToTheOwner(t *testing.T) {
	conn := connect(t, migratetest.Database(t))
	require.Empty(t, list[string](t, conn, `SELECT oid::regclass::text FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND pg_get_userbyid(relowner) <> 'audittrail_owner'
		UNION ALL SELECT oid::regprocedure::text FROM pg_proc
		WHERE pronamespace = 'public'::regnamespace AND pg_get_userbyid(proowner) <> 'audittrail_owner'`))
	require.Empty(t, list[string](t, conn, `SELECT rolname::text FROM pg_roles WHERE rolname LIKE 'audittrail\_%'
		AND (rolcanlogin OR rolinherit OR rolsuper OR rolcreaterole OR rolcreatedb OR rolbypassrls OR rolreplication)`))
}

// The API dismisses dead letters, and can't say that one was redriven.
func TestTheAPICanOnlyDismiss(t *testing.T) {
	url := migratetest.Database(t)
	execute(t, connect(t, url), `INSERT INTO dead_letters ("offset", received_at, topic_id, partition, topic, reason, field, detail, header_keys, header_values)
		VALUES (0, now(), gen_random_uuid(), 0, 'orders', 'empty_value', '', '', '{}', '{}')`)
	conn := connectAs(t, url, "audittrail_api")
	require.False(t, allowed(t, conn, `INSERT INTO dead_letter_fates (dead_letter_id, decided_at, decided_by, reason, fate) VALUES (1, now(), 'me', 'why', 'redriven')`))
	require.Nil(t, try(t, conn, `INSERT INTO dead_letter_fates (dead_letter_id, decided_at, decided_by, reason) VALUES (1, now(), 'me', 'why')`))
}
