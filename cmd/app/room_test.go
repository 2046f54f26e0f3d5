package app

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

func TestTheDocumentedNumbersOfConnections(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	require.NoError(t, err)
	c, err := load(t, "--postgres.max_conns=8")
	require.NoError(t, err)
	for _, r := range chosen(c) {
		require.Contains(t, string(text), fmt.Sprintf(" %s %d", r.name, r.connections(c)))
	}
	require.Contains(t, string(text), fmt.Sprintf("one process with all roles may need %d,", c.Connections()))

	sealing := []string{"--postgres.max_conns=8", kekURL}
	sealed, err := load(t, sealing...)
	require.NoError(t, err)
	more := sealed.Connections() - c.Connections()
	require.Contains(t, string(text), fmt.Sprintf("ingest, api and replay have %d more each, %d in all", more/3, more))
	apart, err := load(t, append(sealing, "--encryption.keys_url=postgres://h/keys")...)
	require.NoError(t, err)
	require.Equal(t, c.Connections(), apart.Connections(), "they go to another database")
}

// A login that has no connection left is told so, and the process works as soon as there are enough.
func TestTooFewConnectionsAreNamed(t *testing.T) {
	t.Parallel()
	database := migratetest.Database(t)
	admin, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	t.Cleanup(func() { _ = admin.Close(context.Background()) })
	c, err := load(t)
	require.NoError(t, err)
	_, err = admin.Exec(t.Context(), "CREATE ROLE narrow LOGIN PASSWORD 'narrow' CONNECTION LIMIT 1 IN ROLE "+strings.Join(DatabaseRoles(c), ","))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, err := admin.Exec(context.Background(), "DROP ROLE narrow")
		require.NoError(t, err)
	})
	narrow, err := url.Parse(database)
	require.NoError(t, err)
	narrow.User = url.UserPassword("narrow", "narrow")
	only, err := pgx.Connect(t.Context(), narrow.String())
	require.NoError(t, err)

	p := start(t, "--postgres.url="+narrow.String(), "--kafka.brokers="+broker(t), "--kafka.topics=orders")
	p.until("admin", "/readyz", http.StatusServiceUnavailable, "PostgreSQL has no connection left for this login")
	require.NoError(t, only.Close(t.Context()))
	_, err = admin.Exec(t.Context(), fmt.Sprintf("ALTER ROLE narrow CONNECTION LIMIT %d", c.Connections()))
	require.NoError(t, err)
	p.until("admin", "/readyz", http.StatusOK, "")
	require.NoError(t, p.stop())
}
