package ledger_test

import (
	"testing"

	"audittrail/modules/ledger"
)

func TestFrontierHasThePlainRootAtEverySize(t *testing.T) {
	leaves := numbered(600)
	var f ledger.Frontier
	for size := range leaves {
		if f.Size() != int64(size) || f.Root() != plainRoot(leaves[:size]) {
			t.Fatalf("size %d: %s", f.Size(), f.Root())
		}
		f.Append(leaves[size])
	}
}

func BenchmarkFrontier(b *testing.B) {
	var f ledger.Frontier
	leaf := numbered(1)[0]
	b.ReportAllocs()
	for b.Loop() {
		f.Append(leaf)
	}
}
