package notary

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
)

// BenchmarkRound is what a second costs, on a log of a million entries: one in which 1,000 entries came,
// and one in which none came. Patrols are apart: BenchmarkPatrol.
func BenchmarkRound(b *testing.B) {
	t, d := leading(b, 61)
	b.Run("grown by 1000", func(b *testing.B) {
		for b.Loop() {
			b.StopTimer()
			d.grow(ledger.Events, 1, 1000)
			t.terms[0].began = t.terms[0].head.signedAt
			b.StartTimer()
			require.NoError(b, t.round(b.Context()))
		}
		require.Equal(b, d.size(ledger.Events), t.logs[0].head.Size)
	})
	b.Run("idle", func(b *testing.B) {
		for b.Loop() {
			require.NoError(b, t.round(b.Context()))
		}
	})
}

// BenchmarkPatrol is one step of a patrol: 16,384 leaves.
func BenchmarkPatrol(b *testing.B) {
	t, _ := leading(b, 61)
	l := t.terms[0]
	for b.Loop() {
		_, err := l.patrol.step(b.Context(), l.watched, t.role.now(), 0)
		require.NoError(b, err)
	}
}

// leading is a term of a notary that has signed a log of some batches of 16,384 entries.
func leading(b *testing.B, batches int) (*term, *database) {
	d := newDatabase(b)
	for range batches {
		d.grow(ledger.Events, 1, 16384)
	}
	n := d.notary(tempState(b), key(b, 1))
	n.interval, n.pace, n.lap = 1, 1, 1<<60
	s, ok, err := n.lead(b.Context())
	require.NoError(b, err)
	require.True(b, ok)
	b.Cleanup(func() { s.Close(context.WithoutCancel(b.Context())) })
	t, err := n.open(b.Context(), s)
	require.NoError(b, err)
	require.NoError(b, t.round(b.Context()))
	return t, d
}
