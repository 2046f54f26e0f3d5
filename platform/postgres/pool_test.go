package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/platform/devstack"
	"audittrail/platform/postgres"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func server(t *testing.T) *devstack.Postgres {
	t.Helper()
	s, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Fast: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, s.Stop(context.Background())) })
	return s
}

func open(t *testing.T, opts postgres.PoolOptions) *pgxpool.Pool {
	t.Helper()
	if opts.MaxConns == 0 {
		opts.MaxConns = 2
	}
	pool, err := postgres.Open(t.Context(), opts)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func show(t *testing.T, pool *pgxpool.Pool, sql string) string {
	t.Helper()
	var v string
	require.NoError(t, pool.QueryRow(t.Context(), sql).Scan(&v))
	return v
}

func execute(t *testing.T, url string, statements ...string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background()) //nolint:errcheck // the statements have answered
	for _, sql := range statements {
		_, err := conn.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
}

func TestPool(t *testing.T) {
	s := server(t)
	url := s.URL("postgres")
	execute(t, url, "CREATE ROLE worker", "ALTER ROLE postgres SET statement_timeout = '1s'")

	t.Run("durable commits pass over servers that take none", func(t *testing.T) {
		execute(t, url, "CREATE ROLE reader LOGIN SUPERUSER PASSWORD 'reader'", "ALTER ROLE reader SET default_transaction_read_only = on")
		config, err := pgx.ParseConfig(url)
		require.NoError(t, err)
		reader := fmt.Sprintf("postgres://reader:reader@%s:%d/postgres?sslmode=disable", config.Host, config.Port)
		require.Equal(t, "on", show(t, open(t, postgres.PoolOptions{URL: reader, Name: "reader"}), "SHOW transaction_read_only"))
		require.ErrorContains(t, open(t, postgres.PoolOptions{URL: reader, Name: "writer", DurableCommits: true}).Ping(t.Context()), "read only connection")
	})

	t.Run("role and limits survive a reset", func(t *testing.T) {
		pool := open(t, postgres.PoolOptions{
			URL: url, Name: "worker", Role: "worker", MaxConns: 1, LockTimeout: 5 * time.Second,
			IdleInTransactionTimeout: 1500 * time.Millisecond, Parameters: map[string]string{"jit": "off"},
		})
		for _, reset := range []string{"SELECT 1", "RESET ROLE", "RESET ALL", "DISCARD ALL"} {
			_, err := pool.Exec(t.Context(), reset, pgx.QueryExecModeSimpleProtocol)
			require.NoError(t, err)
			for name, want := range map[string]string{
				"role": "worker", "application_name": "audittrail-worker", "lock_timeout": "5s", "statement_timeout": "0",
				"idle_in_transaction_session_timeout": "1500ms", "jit": "off", "search_path": "public, pg_temp",
				"tcp_keepalives_idle": "10", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3",
			} {
				var got string
				require.NoError(t, pool.QueryRow(t.Context(), "SHOW "+name, pgx.QueryExecModeSimpleProtocol).Scan(&got))
				require.Equal(t, want, got, "%s after %s", name, reset)
			}
		}
	})

	t.Run("limits are enforced", func(t *testing.T) {
		pool := open(t, postgres.PoolOptions{URL: url, Name: "short", StatementTimeout: 50 * time.Millisecond})
		_, err := pool.Exec(t.Context(), "SELECT pg_sleep(30)")
		require.ErrorContains(t, err, "57014")
	})

	t.Run("commits that a crash may lose are refused", func(t *testing.T) {
		for setting, refused := range map[string]bool{"on": false, "remote_apply": false, "remote_write": false, "local": true, "off": true} {
			execute(t, url, "ALTER DATABASE postgres SET synchronous_commit = "+setting)
			pool := open(t, postgres.PoolOptions{URL: url, Name: "ingest", DurableCommits: true})
			err := pool.Ping(t.Context())
			if refused {
				require.ErrorIs(t, err, postgres.ErrLossyCommits, setting)
			} else {
				require.NoError(t, err, setting)
			}
			require.NoError(t, open(t, postgres.PoolOptions{URL: url, Name: "api"}).Ping(t.Context()))
		}
	})
}

func TestPoolMetricsAreThereFromTheStart(t *testing.T) {
	s := server(t)
	registry := prometheus.NewRegistry()
	ingest := open(t, postgres.PoolOptions{URL: s.URL("postgres"), Name: "ingest", MaxConns: 3, Metrics: registry})
	open(t, postgres.PoolOptions{URL: s.URL("postgres"), Name: "api", MaxConns: 2, Metrics: registry})
	open(t, postgres.PoolOptions{URL: s.URL("postgres"), Name: "api", MaxConns: 5, Metrics: registry})
	expect := func(ingestIdle string) {
		t.Helper()
		require.NoError(t, testutil.GatherAndCompare(registry, strings.NewReader(`
# HELP audittrail_db_pool_connections Connections of the pool by what they do.
# TYPE audittrail_db_pool_connections gauge
audittrail_db_pool_connections{pool="api",state="acquired"} 0
audittrail_db_pool_connections{pool="api",state="connecting"} 0
audittrail_db_pool_connections{pool="api",state="idle"} 0
audittrail_db_pool_connections{pool="api",state="max"} 7
audittrail_db_pool_connections{pool="ingest",state="acquired"} 0
audittrail_db_pool_connections{pool="ingest",state="connecting"} 0
audittrail_db_pool_connections{pool="ingest",state="idle"} `+ingestIdle+`
audittrail_db_pool_connections{pool="ingest",state="max"} 3
`), "audittrail_db_pool_connections"))
	}
	expect("0")
	require.Equal(t, "1", show(t, ingest, "SELECT '1'"))
	require.Eventually(t, func() bool { return ingest.Stat().IdleConns() == 1 }, time.Minute, 5*time.Millisecond)
	expect("1")
	families, err := registry.Gather()
	require.NoError(t, err)
	waits := make(map[string]uint64)
	for _, f := range families {
		if f.GetName() == "audittrail_db_pool_acquire_seconds" {
			for _, m := range f.GetMetric() {
				waits[m.GetLabel()[0].GetValue()] = m.GetHistogram().GetSampleCount()
			}
		}
	}
	require.Equal(t, map[string]uint64{"api": 0, "ingest": 1}, waits)
}

func TestOpenTouchesNothing(t *testing.T) {
	pool := open(t, postgres.PoolOptions{URL: "postgres://u:hunter2@127.0.0.1:1/db?sslmode=disable", Name: "away"})
	err := pool.Ping(t.Context())
	require.Error(t, err)
	require.NotContains(t, err.Error(), "hunter2")
}

func TestOpenRefuses(t *testing.T) {
	for name, opts := range map[string]postgres.PoolOptions{
		"no URL":             {Name: "x", MaxConns: 2},
		"no connections":     {Name: "x", URL: "postgres://u:hunter2@h/db"},
		"pool parameters":    {Name: "x", MaxConns: 2, URL: "postgres://u:hunter2@h/db?pool_max_conns=3"},
		"another scheme":     {Name: "x", MaxConns: 2, URL: "mysql://u:hunter2@h/db"},
		"an unescaped sign":  {Name: "x", MaxConns: 2, URL: "postgres://u:hunter2%@h/db"},
		"unknown sslmode":    {Name: "x", MaxConns: 2, URL: "postgres://u:hunter2@h/db?sslmode=maybe"},
		"certificate absent": {Name: "x", MaxConns: 2, URL: "postgres://u:hunter2@h/db?sslmode=verify-full&sslrootcert=/not/there"},
	} {
		_, err := postgres.Open(t.Context(), opts)
		require.Error(t, err, name)
		require.NotContains(t, err.Error(), "hunter2", name)
		require.Contains(t, err.Error(), "postgres.", name)
	}
}
