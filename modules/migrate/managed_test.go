package migrate_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/devstack"
)

// Managed PostgreSQL (RDS, Cloud SQL, Azure) gives no superuser, but a login that may create roles and databases. From
// version 16 on such a login has fewer rights over the roles that it makes, so the newest version is tried beside the
// machine's own.
func TestManagedPostgres(t *testing.T) {
	for name, bin := range servers(t) {
		t.Run(name, func(t *testing.T) {
			server, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Fast: true, BinDir: bin})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, server.Stop(context.Background())) })
			superuser := connect(t, server.URL("postgres"))
			t.Log(scan[string](t, superuser, "SHOW server_version"))
			// What RDS does: rds_superuser is no superuser, and the master user is a member of it.
			execute(t, superuser, "CREATE ROLE rds_superuser NOLOGIN")
			execute(t, superuser, "GRANT pg_monitor, pg_signal_backend TO rds_superuser WITH ADMIN OPTION")
			execute(t, superuser, "CREATE ROLE deployer LOGIN CREATEROLE CREATEDB PASSWORD 'secret'")
			execute(t, superuser, "GRANT rds_superuser TO deployer")

			// From here on as the master user alone.
			master := connect(t, loginURL(t, server.URL("postgres"), "deployer"))
			execute(t, master, "CREATE DATABASE store ENCODING 'UTF8' TEMPLATE template0")
			execute(t, master, "CREATE ROLE app LOGIN NOINHERIT PASSWORD 'secret'")
			opts := migrate.Options{URL: loginURL(t, server.URL("store"), "deployer")}
			require.NoError(t, migrate.Up(t.Context(), opts))
			require.NoError(t, migrate.Up(t.Context(), opts))
			roles := []string{"audittrail_ingest", "audittrail_api", "audittrail_maintain", "audittrail_notary", "audittrail_owner"}
			_, err = migrate.Grant(t.Context(), opts, "app", roles, true)
			require.NoError(t, err)
			for _, role := range roles {
				require.NoError(t, migrate.Check(t.Context(), connect(t, migratetest.AsRole(t, loginURL(t, server.URL("store"), "app"), role))), role)
			}

			// Any other member of the owner goes on from there.
			execute(t, master, "CREATE ROLE second LOGIN PASSWORD 'secret'")
			execute(t, master, "GRANT audittrail_owner TO second")
			second := migrate.Options{URL: loginURL(t, server.URL("store"), "second")}
			v, _ := version(t, opts)
			require.NoError(t, migrate.Force(t.Context(), second, v))
			require.NoError(t, migrate.Down(t.Context(), second, v, false))
		})
	}
}

// servers are the machine's own, and the newest.
func servers(t *testing.T) map[string]string {
	t.Helper()
	newest, err := devstack.NewestPostgres(t.Context())
	require.NoError(t, err)
	return map[string]string{"installed": "", "newest": newest}
}
