package migrate_test

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
)

// A database in another encoding than UTF8 is refused before it is changed, with the cure.
func TestOtherEncodingsAreRefused(t *testing.T) {
	at := migratetest.EmptyDatabase(t)
	for encoding, name := range map[string]string{"LATIN1": "in_latin1", "SQL_ASCII": "in_ascii"} {
		admin, err := pgx.Connect(t.Context(), at)
		require.NoError(t, err)
		_, err = admin.Exec(t.Context(), "CREATE DATABASE "+name+" ENCODING '"+encoding+"' LOCALE 'C' TEMPLATE template0")
		require.NoError(t, err)
		require.NoError(t, admin.Close(t.Context()))
		u, err := url.Parse(at)
		require.NoError(t, err)
		u.Path = "/" + name
		require.ErrorContains(t, migrate.Up(t.Context(), migrate.Options{URL: u.String()}), "TEMPLATE template0")
		conn, err := pgx.Connect(t.Context(), u.String())
		require.NoError(t, err)
		defer conn.Close(context.Background()) //nolint:errcheck // it only read
		require.ErrorContains(t, migrate.Check(t.Context(), conn), encoding)
		require.Equal(t, 0, scan[int](t, conn, "SELECT count(*)::int FROM pg_catalog.pg_namespace WHERE nspname LIKE 'audit%'"))
	}
}
