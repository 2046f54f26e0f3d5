package cmd

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// Every command that connects looks whether its connection has what it asked for: here the database has a
// setting that silences triggers.
func TestCommandsRefuseAConnectionThatLacksWhatTheyAskFor(t *testing.T) {
	url := migratetest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	var name string
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT current_database()").Scan(&name))
	_, err = conn.Exec(t.Context(), "ALTER DATABASE "+pgx.Identifier{name}.Sanitize()+" SET session_replication_role = replica")
	require.NoError(t, err)
	require.NoError(t, conn.Close(t.Context()))
	for _, command := range []string{
		"reconcile", "topics", "topics admit orders", "verify --database --key " + vectors + "keys.txt",
		"migrate up", "migrate down 1", "migrate force 1", "migrate status", "migrate grant app",
	} {
		t.Run(command, func(t *testing.T) {
			_, errs, status := call(t, append(strings.Fields(command), "--postgres.url", url, "--kafka.brokers", "127.0.0.1:1")...)
			require.Equal(t, statusFailed, status, errs)
			require.Contains(t, errs, `session_replication_role = "replica"`)
		})
	}
}
