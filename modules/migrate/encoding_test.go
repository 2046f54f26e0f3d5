package migrate_test

import (
	"context"
	neturl "net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
)

// inEncoding makes a database in another encoding beside the one at a URL.
func inEncoding(t *testing.T, at, encoding string) (url string) {
	t.Helper()
	name := "in_" + strings.ToLower(encoding)
	admin, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING '"+encoding+"' LOCALE 'C' TEMPLATE template0")
	require.NoError(t, err)
	require.NoError(t, admin.Close(t.Context()))
	u, err := neturl.Parse(at)
	require.NoError(t, err)
	u.Path = "/" + name
	return u.String()
}

// A database in another encoding than UTF8 is refused before it is changed, with the cure. What is there can be
// recorded and taken away all the same.
func TestOtherEncodingsAreRefused(t *testing.T) {
	at := migratetest.EmptyDatabase(t)
	for _, encoding := range []string{"LATIN1", "SQL_ASCII"} {
		opts := migrate.Options{URL: inEncoding(t, at, encoding)}.WithFiles(pair("CREATE TABLE t (n int);", "DROP TABLE t;"))
		require.ErrorContains(t, migrate.Up(t.Context(), opts), "TEMPLATE template0")
		conn, err := pgx.Connect(t.Context(), opts.URL)
		require.NoError(t, err)
		defer conn.Close(context.Background()) //nolint:errcheck // what was done was acknowledged
		require.ErrorContains(t, migrate.Check(t.Context(), conn), encoding)
		require.Equal(t, 0, scan[int](t, conn, "SELECT count(*)::int FROM pg_catalog.pg_class WHERE relnamespace = 'public'::regnamespace"))

		_, err = conn.Exec(t.Context(), "CREATE TABLE t (n int)")
		require.NoError(t, err)
		require.NoError(t, migrate.Force(t.Context(), opts, 1))
		require.NoError(t, migrate.Down(t.Context(), opts, 1, false))
		require.True(t, scan[bool](t, conn, "SELECT to_regclass('public.t') IS NULL"))
		status, err := migrate.ReadStatus(t.Context(), opts)
		require.NoError(t, err)
		require.Zero(t, status.Version)
	}
}
