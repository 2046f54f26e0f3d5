package ledger_test

import (
	"slices"
	"testing"

	"pgregory.net/rapid"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// The check of many proofs says what the verifier of one says: of any proofs, in any order, whole and
// changed in the leaf, in any hash, in their length, or for another index.
func TestInclusionCheckAgreesWithVerifyInclusion(t *testing.T) {
	m := ledgertest.NewMemory(t, ledgertest.Numbered(3000))
	m.Build(3000)
	accepted, all := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 3000).Draw(rt, "size")
		root := m.Root(size)
		check := ledger.NewInclusionCheck(size, root)
		at := rapid.Int64Range(0, size-1).Draw(rt, "first")
		for range 20 {
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				at = (at + 1) % size
			case 1:
				at = rapid.Int64Range(0, size-1).Draw(rt, "index")
			}
			leaf, index, p := m.Hashes[at], at, m.Inclusion(size, at)[0]
			switch rapid.IntRange(0, 8).Draw(rt, "change") {
			case 0:
				leaf[5]++
			case 1:
				index = rapid.Int64Range(-1, size).Draw(rt, "other")
			case 2:
				if len(p) > 0 {
					p[rapid.IntRange(0, len(p)-1).Draw(rt, "hash")][3]++
				}
			case 3:
				p = append(p, ledger.Hash{})
			case 4:
				p = p[:max(0, len(p)-1)]
			}
			want := ledger.VerifyInclusion(leaf, index, size, slices.Clone(p), root) == nil
			if got := check.Verify(leaf, index, p); got != want {
				rt.Fatalf("index %d of %d: %v, but the verifier says %v", index, size, got, want)
			}
			if all++; want {
				accepted++
			}
		}
	})
	if accepted < all/5 { // about four in nine are left as they were, whatever the number of tries
		t.Errorf("only %d proofs of %d were good", accepted, all)
	}
}
