package verify_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/verify"
)

// TestAReplicaThatIsBehind: what it does not have yet was not put back, and nothing was found. What else is
// found on a replica is told.
func TestAReplicaThatIsBehind(t *testing.T) {
	t.Parallel()
	server := migratetest.Server(t)
	h := historyAt(t, server.URL(), newKey(t))
	h.grow(t, 10)
	h.sign(t)
	h.grow(t, 2)
	var data string
	require.NoError(t, h.admin.QueryRow(t.Context(), `SHOW data_directory`).Scan(&data))
	outside := func(size, previous int64) verify.Outside {
		return verify.Outside{Source: "my drawer", Previous: previous,
			Note: noteOf(t, ledger.Checkpoint{Origin: ledger.Events.Origin(origin), Size: size, Root: ledger.LeafHash([]byte("later"))}, h.key)}
	}
	server.Stop()
	require.NoError(t, os.WriteFile(filepath.Join(data, "standby.signal"), nil, 0o644))
	server.Start()
	require.True(t, h.verify(t).Intact)

	for name, o := range map[string]verify.Outside{"entries": outside(20, 0), "checkpoints": outside(12, 12)} {
		t.Run(name, func(t *testing.T) {
			report, err := verify.Run(t.Context(), verify.Options{Keys: h.keys, Workers: 1, Connect: h.connect(t), Outside: []verify.Outside{o}})
			require.ErrorContains(t, err, "this server is a replica that is behind: its events log has")
			require.Zero(t, report.Total, show(report))
			require.False(t, report.Complete)
			require.False(t, report.Intact)
		})
	}
	report := h.verify(t, func(o *verify.Options) { o.Outside = []verify.Outside{outside(10, 10)} })
	require.Len(t, found(report, verify.LogAltered), 1, "it is not behind: "+show(report))
}
