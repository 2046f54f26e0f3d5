package migrate_test

import (
	"context"
	"errors"
	"io/fs"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"audittrail/migrations"
	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/devstack"
	"audittrail/platform/errs"
)

func connect(t testing.TB, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func scan[T any](t testing.TB, db migrate.Queryer, sql string, args ...any) T {
	t.Helper()
	var v T
	require.NoError(t, db.QueryRow(t.Context(), sql, args...).Scan(&v))
	return v
}

func execute(t testing.TB, conn *pgx.Conn, sql string, args ...any) {
	t.Helper()
	_, err := conn.Exec(t.Context(), sql, args...)
	require.NoError(t, err)
}

// pair is a migration that applies up and takes it back by down.
func pair(up, down string) fstest.MapFS {
	return with(fstest.MapFS{}, "0001_first", up, down)
}

func with(files fstest.MapFS, name, up, down string) fstest.MapFS {
	files[name+".up.sql"] = &fstest.MapFile{Data: []byte("-- A comment; with BEGIN; in it.\nBEGIN;\n" + up + "\nCOMMIT;\n")}
	files[name+".down.sql"] = &fstest.MapFile{Data: []byte("BEGIN;\n" + down + "\nCOMMIT;\n")}
	return files
}

func version(t testing.TB, opts migrate.Options) (int, bool) {
	t.Helper()
	s, err := migrate.ReadStatus(t.Context(), opts)
	require.NoError(t, err)
	return s.Version, s.Dirty
}

func TestManyMigrateOneDatabaseAtOnce(t *testing.T) {
	opts := migrate.Options{URL: migratetest.EmptyDatabase(t)}
	inParallel(t, 8, func(int) error { return migrate.Up(t.Context(), opts) })
	status, err := migrate.ReadStatus(t.Context(), opts)
	require.NoError(t, err)
	require.Positive(t, status.Version)
	require.Equal(t, migrate.Status{Version: status.Latest, Latest: status.Latest, Pending: []int{}}, status)
	require.NoError(t, migrate.Check(t.Context(), connect(t, opts.URL)))
}

// Roles belong to the cluster, so that databases of one that has none yet race to create them.
func TestDatabasesOfOneClusterMigrateAtOnce(t *testing.T) {
	server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Fast: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop(context.Background())) })
	conn := connect(t, server.URL("postgres"))
	names := []string{"a", "b", "c", "d"}
	for range 3 { // a race is not lost at every try
		for _, name := range names {
			execute(t, conn, "CREATE DATABASE "+name)
		}
		inParallel(t, len(names), func(i int) error {
			return migrate.Up(t.Context(), migrate.Options{URL: server.URL(names[i])})
		})
		for _, name := range names {
			execute(t, conn, "DROP DATABASE "+name+" WITH (FORCE)")
		}
		execute(t, conn, "DROP ROLE audittrail_owner, audittrail_ingest, audittrail_api, audittrail_replay, audittrail_analytics, audittrail_maintain, audittrail_notary")
	}
}

func inParallel(t *testing.T, n int, work func(i int) error) {
	t.Helper()
	var group sync.WaitGroup
	failed := make([]error, n)
	begin := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-begin
			failed[i] = work(i)
		})
	}
	close(begin)
	group.Wait()
	require.NoError(t, errors.Join(failed...))
}

func TestDownRefusesToDropRows(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	conn := connect(t, opts.URL)
	execute(t, conn, `INSERT INTO event_keys VALUES (gen_random_uuid(), 1, now(), '\x00')`)
	execute(t, conn, `INSERT INTO ingest_topics (topic, topic_id) VALUES ('orders', gen_random_uuid())`)
	before, _ := version(t, opts)

	err := migrate.Down(t.Context(), opts, before, false)
	refused := errs.Of(err)
	require.Equal(t, "data_would_be_lost", refused.Code, "%v", err)
	require.Contains(t, refused.Detail, "event_keys, ingest_topics")
	require.NotContains(t, refused.Detail, "dead_letters")
	v, dirty := version(t, opts)
	require.Equal(t, before, v)
	require.False(t, dirty, "a refusal must leave the schema usable")
	require.Equal(t, 1, scan[int](t, conn, "SELECT count(*) FROM event_keys"))

	require.NoError(t, migrate.Down(t.Context(), opts, before, true))
	require.False(t, scan[bool](t, conn, "SELECT to_regclass('event_keys') IS NOT NULL"))
}

func TestDownSeesRowsOfPartitions(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	conn := connect(t, opts.URL)
	execute(t, conn, `INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
		aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		VALUES (1, '1948-01-01', now(), 0, 0, 1, gen_random_uuid(), 't', 'a', 'i', 'orders', '\x00', '1', '{}')`)
	before, _ := version(t, opts)
	err := migrate.Down(t.Context(), opts, before, false)
	require.Equal(t, "data_would_be_lost", errs.Of(err).Code, "%v", err)
	require.Contains(t, errs.Of(err).Detail, "events")
	require.NotContains(t, errs.Of(err).Detail, "before_2000", "a partition counts as its parent")
}

func TestDownTakesEverythingBackButTheRoles(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	conn := connect(t, opts.URL)
	const left = `SELECT coalesce(string_agg(relname, ', '), '') FROM pg_class
		WHERE relnamespace = 'public'::regnamespace AND relname NOT LIKE 'schema_migrations%'`
	const functions = `SELECT count(*) FROM pg_proc WHERE pronamespace = 'public'::regnamespace`
	const roles = `SELECT count(*) FROM pg_roles WHERE rolname LIKE 'audittrail\_%'`
	before, _ := version(t, opts)
	for range 2 {
		require.NoError(t, migrate.Down(t.Context(), opts, before, false))
		require.Empty(t, scan[string](t, conn, left))
		require.Zero(t, scan[int](t, conn, functions))
		require.Equal(t, 8, scan[int](t, conn, roles))
		v, dirty := version(t, opts)
		require.Zero(t, v)
		require.False(t, dirty)
		require.NoError(t, migrate.Up(t.Context(), opts))
	}
}

func TestDownKnowsHowFarItCanGo(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	for _, n := range []int{-1, 0, 10_000} {
		require.Equal(t, errs.Invalid, errs.Of(migrate.Down(t.Context(), opts, n, true)).Kind, "down %d", n)
	}
	require.NoError(t, migrate.Check(t.Context(), connect(t, opts.URL)))
}

func TestFailedMigrationChangesNothing(t *testing.T) {
	files := with(pair("CREATE TABLE one ();", "DROP TABLE one;"), "0002_second", "CREATE TABLE two (); SELECT 1/0;", "DROP TABLE two;")
	opts := migrate.Options{URL: migratetest.EmptyDatabase(t)}.WithFiles(files)
	err := migrate.Up(t.Context(), opts)
	require.ErrorContains(t, err, "division by zero")
	v, dirty := version(t, opts)
	require.Equal(t, 1, v, "the first is applied, the second rolled back")
	require.False(t, dirty)
	require.False(t, scan[bool](t, connect(t, opts.URL), "SELECT to_regclass('two') IS NOT NULL"))

	with(files, "0002_second", "CREATE TABLE two ();", "DROP TABLE two; DROP TABLE never;")
	require.NoError(t, migrate.Up(t.Context(), opts), "it goes on once the cause is gone")
	require.Error(t, migrate.Down(t.Context(), opts, 1, false))
	v, dirty = version(t, opts)
	require.Equal(t, 2, v)
	require.False(t, dirty)
}

func TestInterruptedMigrationIsRolledBack(t *testing.T) {
	opts, conn, interrupt, ended := endlessMigration(t)
	// Who comes second waits no longer than it was told to.
	impatient := opts
	impatient.LockTimeout = 200 * time.Millisecond
	var failed *pgconn.PgError
	require.ErrorAs(t, migrate.Up(t.Context(), impatient), &failed)
	require.Equal(t, "55P03", failed.Code)

	interrupt()
	require.ErrorIs(t, <-ended, context.Canceled)
	v, dirty := version(t, opts)
	require.Zero(t, v)
	require.False(t, dirty)
	require.False(t, scan[bool](t, conn, "SELECT to_regclass('half') IS NOT NULL"))
}

// endlessMigration begins a migration that does not end by itself, and returns once it is half-way.
func endlessMigration(t *testing.T) (opts migrate.Options, conn *pgx.Conn, interrupt func(), ended <-chan error) {
	t.Helper()
	files := pair("CREATE TABLE half (); SELECT pg_sleep(600);", "DROP TABLE half;")
	opts = migrate.Options{URL: migratetest.EmptyDatabase(t)}.WithFiles(files)
	ctx, interrupt := context.WithCancel(t.Context())
	end := make(chan error, 1)
	go func() { end <- migrate.Up(ctx, opts) }()
	conn = connect(t, opts.URL)
	require.Eventually(t, func() bool {
		return scan[bool](t, conn, `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND application_name = 'audittrail-migrate' AND wait_event = 'PgSleep')`)
	}, 20*time.Second, 10*time.Millisecond)
	return opts, conn, interrupt, end
}

func TestForceRecordsAVersion(t *testing.T) {
	files := with(pair("CREATE TABLE one ();", "DROP TABLE one;"), "0002_second", "CREATE TABLE two ();", "DROP TABLE two;")
	opts := migrate.Options{URL: migratetest.EmptyDatabase(t)}.WithFiles(files)
	require.NoError(t, migrate.Up(t.Context(), opts))
	execute(t, connect(t, opts.URL), "UPDATE schema_migrations SET dirty = true")
	require.Equal(t, "schema_dirty", errs.Of(migrate.Up(t.Context(), opts)).Code)

	require.NoError(t, migrate.Force(t.Context(), opts, 1))
	s, err := migrate.ReadStatus(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, migrate.Status{Version: 1, Latest: 2, Pending: []int{2}}, s)
	require.NoError(t, migrate.Force(t.Context(), opts, 0))
	v, _ := version(t, opts)
	require.Zero(t, v)
	for _, unknown := range []int{-1, 3} {
		require.Equal(t, errs.Invalid, errs.Of(migrate.Force(t.Context(), opts, unknown)).Kind)
	}
}

func TestCheck(t *testing.T) {
	empty := connect(t, migratetest.EmptyDatabase(t))
	require.Equal(t, "schema_outdated", errs.Of(migrate.Check(t.Context(), empty)).Code)

	full := migratetest.Database(t)
	owner := connect(t, full)
	for _, role := range []string{"ingest", "api", "replay", "maintain", "notary"} {
		require.NoError(t, migrate.Check(t.Context(), connect(t, migratetest.AsRole(t, full, "audittrail_"+role))), role)
	}
	for change, code := range map[string]string{
		"version = 9000, dirty = false": "",
		"version = 0, dirty = false":    "schema_outdated",
		"dirty = true":                  "schema_dirty",
	} {
		execute(t, owner, "UPDATE schema_migrations SET "+change)
		err := migrate.Check(t.Context(), owner)
		if code == "" {
			require.NoError(t, err, change)
			continue
		}
		require.Equal(t, code, errs.Of(err).Code, change)
		require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
	}
}

func TestUpLeavesANewerSchemaAlone(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	execute(t, connect(t, opts.URL), "UPDATE schema_migrations SET version = 9000")
	require.NoError(t, migrate.Up(t.Context(), opts))
	v, _ := version(t, opts)
	require.Equal(t, 9000, v)
}

func TestStatusChangesNothing(t *testing.T) {
	opts := migrate.Options{URL: migratetest.EmptyDatabase(t)}
	s, err := migrate.ReadStatus(t.Context(), opts)
	require.NoError(t, err)
	require.Zero(t, s.Version)
	require.Len(t, s.Pending, s.Latest)
	require.False(t, scan[bool](t, connect(t, opts.URL), "SELECT to_regclass('schema_migrations') IS NOT NULL"))
}

func loginURL(t *testing.T, superuser, login string) string {
	t.Helper()
	u, err := url.Parse(superuser)
	require.NoError(t, err)
	u.User = url.UserPassword(login, "secret")
	return u.String()
}

func TestEachMigrationIsOneTransactionAndCanBeTakenBack(t *testing.T) {
	names, err := fs.Glob(migrations.Files, "*.sql")
	require.NoError(t, err)
	for _, name := range names {
		content, err := fs.ReadFile(migrations.Files, name)
		require.NoError(t, err)
		text := strings.TrimSpace(string(content))
		require.True(t, strings.HasSuffix(text, "COMMIT;"), "%s ends with COMMIT;", name)
		require.Contains(t, text, "BEGIN;", name)
		require.NotRegexp(t, `(?i)drop\s+(role|user)`, text, "%s: roles belong to the cluster", name)
		other := strings.Replace(name, ".up.", ".down.", 1)
		if other == name {
			other = strings.Replace(name, ".down.", ".up.", 1)
		}
		require.Contains(t, names, other)
	}
}

func TestErrorsKeepThePasswordToThemselves(t *testing.T) {
	for _, connection := range []string{
		"postgres://u:hunter2%zz@127.0.0.1/db", "postgres://u:hunter2@127.0.0.1:notaport/db", "mysql://u:hunter2@127.0.0.1/db",
		"postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable", "postgres://u:hunter2@127.0.0.1/db?sslmode=hunter2", "password=hunter2 port=x",
		"postgres://u:hunter2@127.0.0.1/db?sslmode=verify-full&sslrootcert=/does/not/exist",
	} {
		for name, call := range map[string]func() error{
			"up": func() error { return migrate.Up(t.Context(), migrate.Options{URL: connection}) },
			"status": func() error {
				_, err := migrate.ReadStatus(t.Context(), migrate.Options{URL: connection})
				return err
			},
		} {
			err := call()
			require.Error(t, err, "%s", name)
			require.NotContains(t, err.Error(), "hunter2", "%s", name)
		}
	}
}

// A column may hold what can't be had again: the leaves of the ledger.
func TestDownRefusesToDropColumnsOfRows(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	conn := connect(t, opts.URL)
	execute(t, conn, `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
		VALUES ('events', 0, 1, 1, now(), now(), now(), decode(repeat('00', 32), 'hex'))`)
	before, _ := version(t, opts)
	require.NoError(t, migrate.Down(t.Context(), opts, before-2, false))
	err := migrate.Down(t.Context(), opts, 1, false)
	require.Equal(t, "data_would_be_lost", errs.Of(err).Code, "%v", err)
	require.Contains(t, errs.Of(err).Detail, "ledger_batches")
	v, _ := version(t, opts)
	require.Equal(t, 2, v)
}

// A store that was filled without leaves can't be given any.
func TestUpRefusesAStoreThatWasFilledWithoutALedger(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	conn := connect(t, opts.URL)
	latest, _ := version(t, opts)
	require.NoError(t, migrate.Down(t.Context(), opts, latest-1, false))
	execute(t, conn, `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest)
		VALUES ('events', 0, 1, 1, now(), now(), now())`)
	require.ErrorContains(t, migrate.Up(t.Context(), opts), "filled before it had a ledger")
	v, dirty := version(t, opts)
	require.Equal(t, 1, v)
	require.False(t, dirty)
}

// A store that is filled keeps its dead letters as they are.
func TestUpKeepsDeadLettersOfBefore(t *testing.T) {
	opts := migrate.Options{URL: migratetest.Database(t)}
	conn := connect(t, opts.URL)
	latest, _ := version(t, opts)
	require.NoError(t, migrate.Down(t.Context(), opts, latest-3, false))
	execute(t, conn, `INSERT INTO dead_letters ("offset", received_at, topic_id, partition, topic, reason, field, detail, value, header_keys, header_values)
		VALUES (0, now(), gen_random_uuid(), 0, 'orders', 'too_large', '', '', repeat('x', 2000000)::bytea, '{}', '{}')`)
	require.NoError(t, migrate.Up(t.Context(), opts))
	require.True(t, scan[bool](t, conn, `SELECT octet_length(value) = 2000000 AND value_length IS NULL AND value_sha256 IS NULL FROM dead_letters`))
}
