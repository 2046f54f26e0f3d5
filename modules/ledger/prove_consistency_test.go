package ledger_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

func TestProveConsistency(t *testing.T) {
	const size = 40
	m := ledgertest.NewMemory(t, ledgertest.Numbered(size))
	head := ledger.Checkpoint{Size: size, Root: m.Root(size)}
	for to := int64(1); to <= size; to++ {
		for from := int64(1); from <= to; from++ {
			proof, err := ledger.ProveConsistency(t.Context(), m, head, from, to)
			require.NoError(t, err)
			require.NoError(t, ledger.VerifyConsistency(from, to, m.Root(from), m.Root(to), proof))
		}
	}
	head.Root[0] ^= 1
	_, err := ledger.ProveConsistency(t.Context(), m, head, 3, size)
	var fault *ledger.EvidenceError
	require.ErrorAs(t, err, &fault, "of another root")
}

// TestNoConsistencyOfChangedHashes: a stored hash of level 1 is another, and the signed root comes from level 2,
// which does not know.
func TestNoConsistencyOfChangedHashes(t *testing.T) {
	const size = 70_000
	for _, c := range []struct {
		changed  int
		from, to int64
	}{{0, 256, 300}, {1, 1, 512}, {0, 300, 512}, {1, 512, 66_000}, {1, 512, size}} {
		m := ledgertest.NewMemory(t, ledgertest.Numbered(size))
		m.Build(size)
		head := ledger.Checkpoint{Size: size, Root: m.Root(size)}
		_, err := ledger.ProveConsistency(t.Context(), m, head, c.from, c.to)
		require.NoError(t, err)
		m.Stored[ledger.TileID{Level: 1}][c.changed][0] ^= 1
		require.Equal(t, head.Root, m.Root(size), "the root does not show it")
		proof, err := ledger.ProveConsistency(t.Context(), m, head, c.from, c.to)
		var fault *ledger.EvidenceError
		require.ErrorAs(t, err, &fault, "from %d to %d", c.from, c.to)
		require.Nil(t, proof)
	}
}
