package postgres_test

import (
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/platform/postgres"
	"audittrail/platform/postgres/poolertest"
)

// PgBouncer drops start-up parameters. A connection through it has all the same what was asked for, and nothing of whom
// its server's session belonged to before.
func TestAPoolerInSessionMode(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	execute(t, direct, "CREATE ROLE audittrail_api", "CREATE ROLE audittrail_owner")
	through := poolertest.Start(t, direct, map[string]string{"pool_mode": "session", "default_pool_size": "2", "ignore_startup_parameters": poolertest.Ignored, "server_reset_query": ""})
	for _, asked := range []postgres.PoolOptions{
		{Name: "owner", Role: "audittrail_owner", LockTimeout: time.Second, Parameters: map[string]string{"jit": "off", "synchronous_commit": "off"}},
		{Name: "api", Role: "audittrail_api", StatementTimeout: 10 * time.Second, Parameters: map[string]string{"max_parallel_workers_per_gather": "0"}, DurableCommits: true},
		{Name: "breaker"},
	} {
		asked.URL = direct
		plain, err := postgres.Connect(t.Context(), asked)
		require.NoError(t, err)
		asked.URL = through
		pooled, err := postgres.Connect(t.Context(), asked)
		require.NoError(t, err)
		require.Equal(t, settingsOf(t, plain), settingsOf(t, pooled), asked.Name)
		for _, conn := range []*pgx.Conn{plain, pooled} {
			var backend uint32
			require.NoError(t, conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&backend))
			require.Equal(t, backend, postgres.Backend(conn.PgConn()))
			require.NoError(t, conn.Close(t.Context()))
		}
	}

	execute(t, direct, "CREATE ROLE app LOGIN PASSWORD 'app'")
	login, err := url.Parse(direct)
	require.NoError(t, err)
	login.User = url.UserPassword("app", "app")
	through = poolertest.Start(t, login.String(), map[string]string{"pool_mode": "session", "ignore_startup_parameters": poolertest.Ignored})
	for role, code := range map[string]string{"audittrail_api": "role_not_granted", "audittrail_ingest": "role_missing"} {
		_, err = open(t, postgres.PoolOptions{URL: through, Name: "api", Role: role}).Exec(t.Context(), "SELECT 1")
		requireRefused(t, err, code, role)
	}
}

// settingsOf returns whom a connection acts as and all that it has not by default, but for the network's settings.
func settingsOf(t *testing.T, conn *pgx.Conn) map[string]string {
	t.Helper()
	rows, err := conn.Query(t.Context(), `SELECT name, setting FROM pg_settings WHERE source IN ('client', 'session') AND name !~ '^tcp_|^client_encoding$'
		UNION ALL SELECT 'current_user', current_user`)
	require.NoError(t, err)
	settings := map[string]string{}
	var name, value string
	_, err = pgx.ForEachRow(rows, []any{&name, &value}, func() error {
		settings[name] = value
		return nil
	})
	require.NoError(t, err)
	require.Contains(t, settings, "search_path")
	return settings
}

func TestPoolersThatAreRefused(t *testing.T) {
	s := server(t)
	direct := s.URL("postgres")
	for name, c := range map[string]struct {
		settings   map[string]string
		code, says string
	}{
		"transaction mode":                  {map[string]string{"pool_mode": "transaction"}, "pooler_mode", "transaction mode"},
		"transaction mode, servers in turn": {map[string]string{"pool_mode": "transaction", "server_round_robin": "1", "min_pool_size": "3"}, "pooler_mode", "transaction mode"},
		"transaction mode, one server":      {map[string]string{"pool_mode": "transaction", "default_pool_size": "1"}, "pooler_mode", "transaction mode"},
		"statement mode":                    {map[string]string{"pool_mode": "statement"}, "pooler_mode", "statement mode"},
		"no room":                           {map[string]string{"pool_mode": "session", "default_pool_size": "1"}, "pooler_mode", "default_pool_size"},
		"parameters are not taken":          {map[string]string{"pool_mode": "session", "ignore_startup_parameters": "jit"}, "connection_settings", "ignore_startup_parameters"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.settings["ignore_startup_parameters"] == "" {
				c.settings["ignore_startup_parameters"] = poolertest.Ignored
			}
			opts := postgres.PoolOptions{URL: poolertest.Start(t, direct, c.settings), Name: "api", Role: "postgres"}
			_, err := open(t, opts).Exec(t.Context(), "SELECT 1")
			requireRefused(t, err, c.code, c.says)
			_, err = postgres.Connect(t.Context(), opts)
			requireRefused(t, err, c.code, c.says)
		})
	}
}

func requireRefused(t *testing.T, err error, code, says string) {
	t.Helper()
	require.Error(t, err)
	refused := postgres.Refused(err)
	require.NotNil(t, refused, "%v", err)
	require.Equal(t, code, refused.Code)
	require.Contains(t, refused.Detail, says)
}

// The line that operators copy names all that is sent.
func TestTheDocumentedLineOfPgBouncer(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	require.NoError(t, err)
	require.Contains(t, string(text), "ignore_startup_parameters = "+poolertest.Ignored+"\n")
}
