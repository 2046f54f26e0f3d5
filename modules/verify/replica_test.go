package verify_test

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/verify"
)

// TestAReplicaThatIsBehind: what it does not have yet was not put back.
func TestAReplicaThatIsBehind(t *testing.T) {
	server := migratetest.Server(t)
	h := historyAt(t, server.URL())
	h.grow(t, 10)
	h.sign(t)
	h.grow(t, 2)
	var data string
	require.NoError(t, h.admin.QueryRow(t.Context(), `SHOW data_directory`).Scan(&data))
	later := noteOf(t, ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: 20, Root: ledger.LeafHash([]byte("later"))}, h.key)
	primary := newHistory(t) // what it is replaced by when it has caught up
	primary.key, primary.keys = h.key, h.keys
	primary.grow(t, 20)
	signed := primary.sign(t)

	server.Stop()
	require.NoError(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644))
	server.Start()

	outside := func(note []byte, wait time.Duration) func(*verify.Options) {
		return func(o *verify.Options) {
			o.Outside, o.ReplicaWait = []verify.Outside{{Source: "my drawer", Note: note}}, wait
		}
	}
	require.True(t, h.verify(t).Intact)
	report := h.verify(t, outside(later, time.Millisecond))
	rolledBack := found(report, verify.LogRolledBack)
	require.Len(t, rolledBack, 1, show(report))
	require.Contains(t, rolledBack[0].Detail, "or this server, a replica, is that far behind its primary")

	gone := found(h.verify(t, outside(later, time.Millisecond), func(o *verify.Options) {
		o.Outside[0].Note, o.Outside[0].Previous = noteOf(t, ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: 12, Root: ledger.LeafHash([]byte("now"))}, h.key), 12
	}), verify.CheckpointGone)
	require.Len(t, gone, 1)
	require.Contains(t, gone[0].Detail, "keeps none above 10: they were deleted; or this server, a replica, is that far behind its primary")

	opened := 0
	report = h.verify(t, outside(signed, time.Hour), func(o *verify.Options) {
		o.Workers = 1
		behind := o.Connect
		o.Connect = func(ctx context.Context) (*pgx.Conn, error) {
			if opened++; opened == 1 {
				return behind(ctx)
			}
			return pgx.Connect(ctx, migratetest.AsRole(t, primary.url, "audittrail_maintain"))
		}
	})
	require.True(t, report.Intact, show(report))
	require.Equal(t, 2, opened)
}
