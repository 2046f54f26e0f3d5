package app

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/postgres/poolertest"
)

// All roles work through PgBouncer in session mode: appends with their advisory locks and stalled transactions, leads,
// prepared statements, and the API's LISTEN.
func TestEverythingWorksThroughAPoolerInSessionMode(t *testing.T) {
	t.Parallel()
	database, brokers := migratetest.Database(t), broker(t)
	through := poolertest.Start(t, database, map[string]string{"pool_mode": "session", "default_pool_size": "80", "ignore_startup_parameters": poolertest.Ignored})
	p := start(t, "--postgres.url="+through, "--kafka.brokers="+brokers, "--kafka.topics=orders")
	p.until("admin", "/readyz", http.StatusOK, "")
	direct, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer direct.Close(t.Context()) //nolint:errcheck // nothing is lost with it
	require.Eventually(t, func() bool {
		var listen, leads bool
		require.NoError(t, direct.QueryRow(t.Context(), `SELECT
			EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN audittrail_appended%'),
			EXISTS (SELECT FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory' AND application_name = 'audittrail-notary')`).Scan(&listen, &leads))
		return listen && leads
	}, patience, 20*time.Millisecond)

	for i := range 3 {
		produce(t, brokers, fmt.Sprintf(order, i), "no event")
		p.until("api", fmt.Sprintf("/v1/feed?after=%d&wait=20", i-1), http.StatusOK, fmt.Sprintf("7e%02d", i))
		p.until("api", fmt.Sprintf("/v1/events/6b1b0c3a-6a5f-4f0e-9b1e-2f5d1c9a7e%02d", i), http.StatusOK, "OrderPlaced")
	}
	p.until("api", "/v1/events?aggregateType=Order", http.StatusOK, "7e02")
	p.until("api", "/v1/dead-letters", http.StatusOK, "malformed_json")
	p.until("api", "/v1/ledger/events/checkpoint", http.StatusOK, "\n3\n")
	require.NoError(t, p.stop())
}

func TestAPoolerInTransactionModeIsNamed(t *testing.T) {
	t.Parallel()
	through := poolertest.Start(t, migratetest.Database(t), map[string]string{"pool_mode": "transaction", "ignore_startup_parameters": poolertest.Ignored})
	p := start(t, "--postgres.url="+through, "--kafka.brokers="+broker(t), "--kafka.topics=orders")
	p.until("admin", "/readyz", http.StatusServiceUnavailable, "set pool_mode = session")
	require.NoError(t, p.stop())
}
