package verify_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/verify"
)

// TestCheckpointsOfAnotherLedger: keys of two ledgers are given, and one's checkpoints lie in the other's
// database, for the very same history.
func TestCheckpointsOfAnotherLedger(t *testing.T) {
	t.Parallel()
	const other = "other.example.com/test"
	h := newHistory(t)
	foreign, err := ledger.GenerateKey(other, rand.Reader)
	require.NoError(t, err)
	both := keysOf(t, h.key, foreign)
	h.grow(t, 10)
	h.sign(t)
	h.grow(t, 10)
	mine := h.sign(t)
	checkpoint, err := ledger.OpenCheckpoint(mine, h.keys)
	require.NoError(t, err)
	theirs := noteOf(t, ledger.Checkpoint{Origin: ledger.Events.Origin(other), Size: 20, Root: checkpoint.Root}, foreign)
	with := func(change func(*verify.Options)) *verify.Report {
		return h.verify(t, func(o *verify.Options) { o.Keys = both }, change)
	}
	remembered := func(o *verify.Options) { o.Origin = origin }
	kept := func(o *verify.Options) { o.Outside = []verify.Outside{{Source: "my drawer", Note: mine}} }
	for _, change := range []func(*verify.Options){remembered, kept} {
		report := with(change)
		require.True(t, report.Intact, show(report))
		require.Equal(t, origin, report.Origin)
		require.Empty(t, report.Notices)
	}
	_, err = verify.Run(t.Context(), verify.Options{Keys: both, Connect: h.connect(t)})
	var several *verify.OriginError
	require.ErrorAs(t, err, &several, "nothing but the database would tell which ledger it is of")
	require.Equal(t, []string{origin, other}, several.Ledgers)

	h.tamper(t, fmt.Sprintf(`UPDATE ledger_checkpoints SET note = $n$%s$n$ WHERE size = 20`, theirs))
	report := with(remembered)
	require.Len(t, found(report, verify.CheckpointUntrusted), 1, show(report))
	require.Contains(t, found(report, verify.CheckpointUntrusted)[0].Detail, "is signed for another ledger: "+other)
	require.EqualValues(t, 10, report.Logs[0].Signed, "it proves nothing here")

	h.tamper(t, `DELETE FROM ledger_checkpoints WHERE size = 10`)
	for _, change := range []func(*verify.Options){remembered, kept} {
		report = with(change)
		require.Equal(t, origin, report.Origin)
		require.Len(t, found(report, verify.CheckpointUntrusted), 1, show(report))
	}
	report = with(func(o *verify.Options) {
		o.Origin = origin
		o.Outside = []verify.Outside{{Source: "another drawer", Note: theirs}}
	})
	require.Len(t, found(report, verify.CheckpointUntrusted), 2, show(report))
	require.Zero(t, report.OutsideCheckpoints)
	require.Contains(t, show(report), "the checkpoint in another drawer can't be trusted: it is signed for another ledger: "+other)
}
