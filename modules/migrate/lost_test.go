package migrate_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/migrations"
	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/errs"
)

// A connection that is lost in a migration takes its transaction with it, so the next `up` goes on by itself.
func TestALostConnectionLeavesNothingToForce(t *testing.T) {
	opts, conn, interrupt, ended := endlessMigration(t)
	defer interrupt()
	execute(t, conn, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE datname = current_database() AND application_name = 'audittrail-migrate'`)
	err := <-ended
	require.Equal(t, "connection_lost", errs.Of(err).Code, "%v", err)
	require.NotContains(t, errs.Of(err).Detail, "\n", "the library's own complaints about the dead connection are no news")
	v, dirty := version(t, opts)
	require.Zero(t, v)
	require.False(t, dirty, "nothing is left for a person to force")

	require.NoError(t, migrate.Up(t.Context(), opts.WithFiles(pair("CREATE TABLE half ();", "DROP TABLE half;"))))
	v, dirty = version(t, opts)
	require.Equal(t, 1, v)
	require.False(t, dirty)
}

// Wherever in the whole schema's migration the connection is lost, what was applied is whole, and `up` goes on from there.
func TestLostAgainAndAgain(t *testing.T) {
	opts := migrate.Options{URL: migratetest.EmptyDatabase(t)}.WithFiles(migrations.Files)
	killer := connect(t, opts.URL)
	want, err := migrate.ReadStatus(t.Context(), opts)
	require.NoError(t, err)
	for delay := time.Duration(0); delay < 20*time.Millisecond; delay += 4 * time.Millisecond {
		ended := make(chan error, 1)
		go func() { ended <- migrate.Up(t.Context(), opts) }()
		for running := true; running; {
			select {
			case err := <-ended:
				if err != nil {
					require.NotEqual(t, "schema_dirty", errs.Of(err).Code, "%v", err)
				}
				running = false
			case <-time.After(delay + time.Millisecond):
				execute(t, killer, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
					WHERE datname = current_database() AND application_name = 'audittrail-migrate'`)
			}
		}
		_, dirty := version(t, opts)
		require.False(t, dirty)
	}
	require.NoError(t, migrate.Up(t.Context(), opts))
	v, dirty := version(t, opts)
	require.Equal(t, want.Latest, v)
	require.False(t, dirty)
	require.NoError(t, migrate.Check(t.Context(), connect(t, opts.URL)))
}
