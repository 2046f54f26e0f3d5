package cmd

import (
	"context"
	"net/url"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/platform/devstack"
)

// As managed PostgreSQL gives it: a login that may create roles, owns its database, and is no superuser.
func TestMigrateGrantLetsALoginServe(t *testing.T) {
	own, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Fast: true})
	require.NoError(t, err)
	defer func() { require.NoError(t, own.Stop(context.WithoutCancel(t.Context()))) }()
	admin, err := pgx.Connect(t.Context(), own.URL("postgres"))
	require.NoError(t, err)
	defer admin.Close(t.Context()) //nolint:errcheck // the test has its answers
	for _, sql := range []string{
		`CREATE ROLE cloud LOGIN CREATEROLE PASSWORD 'cloud'`, `CREATE ROLE "my ""app" LOGIN PASSWORD 'app'`, `CREATE DATABASE shop OWNER cloud`,
	} {
		_, err := admin.Exec(t.Context(), sql)
		require.NoError(t, err, sql)
	}
	as := func(user, password string) string {
		u, err := url.Parse(own.URL("shop"))
		require.NoError(t, err)
		u.User = url.UserPassword(user, password)
		return u.String()
	}
	status, _, stderr := migrateCommand(t, as("cloud", "cloud"), "up")
	require.Equal(t, statusDone, status, stderr)

	become := func() error {
		conn, err := pgx.Connect(t.Context(), as(`my "app`, "app"))
		require.NoError(t, err)
		defer conn.Close(t.Context()) //nolint:errcheck // it only asked
		_, err = conn.Exec(t.Context(), `SET ROLE audittrail_api`)
		return err
	}
	require.ErrorContains(t, become(), "permission denied")
	status, stdout, stderr := migrateCommand(t, as("cloud", "cloud"), "grant", `my "app`, "--roles", "api")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, `GRANT "audittrail_api" TO "my ""app"`)
	require.ErrorContains(t, become(), "permission denied", "it was only printed")

	status, stdout, stderr = migrateCommand(t, as("cloud", "cloud"), "grant", `my "app`, "--apply")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, "audittrail_ingest, audittrail_api, audittrail_replay, audittrail_analytics, audittrail_maintain, audittrail_owner, audittrail_notary")
	require.NoError(t, become())

	// An analyst's tool reads the views by itself; the login of serve does not become one.
	_, err = admin.Exec(t.Context(), `CREATE ROLE metabase LOGIN PASSWORD 'bi'`)
	require.NoError(t, err)
	status, stdout, stderr = migrateCommand(t, as("cloud", "cloud"), "grant", "metabase", "--analyst")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, `GRANT audittrail_analyst TO "metabase"`)
	status, _, stderr = migrateCommand(t, own.URL("shop"), "grant", "metabase", "--analyst", "--apply")
	require.Equal(t, statusDone, status, stderr)
	tool, err := pgx.Connect(t.Context(), as("metabase", "bi"))
	require.NoError(t, err)
	defer tool.Close(t.Context()) //nolint:errcheck // it only asked
	_, err = tool.Exec(t.Context(), `SELECT * FROM analyst_events`)
	require.NoError(t, err)
	_, err = tool.Exec(t.Context(), `SELECT FROM events`)
	require.ErrorContains(t, err, "permission denied")
	status, _, stderr = migrateCommand(t, own.URL("shop"), "grant", `my "app`, "--analyst", "--apply")
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "make a login for analysts")

	status, _, stderr = migrateCommand(t, as(`my "app`, "app"), "grant", "cloud", "--apply")
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "audittrail")
	status, _, _ = migrateCommand(t, as("cloud", "cloud"), "grant", "x", "--roles", "apj")
	require.Equal(t, statusUsage, status)
}
