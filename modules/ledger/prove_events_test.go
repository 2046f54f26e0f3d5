package ledger_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"audittrail/modules/ledger"
)

// The check of many proofs says what the verifier of one says: of any proofs, in any order, whole and
// changed in the leaf, in any hash, in their length, or for another index.
func TestInclusionCheckAgreesWithVerifyInclusion(t *testing.T) {
	m := newMemory(t, numbered(3000))
	m.build(3000)
	accepted, all := 0, 0
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.Int64Range(1, 3000).Draw(rt, "size")
		root := m.root(size)
		check := ledger.NewInclusionCheck(size, root)
		at := rapid.Int64Range(0, size-1).Draw(rt, "first")
		for range 20 {
			switch rapid.IntRange(0, 2).Draw(rt, "step") {
			case 0:
				at = (at + 1) % size
			case 1:
				at = rapid.Int64Range(0, size-1).Draw(rt, "index")
			}
			leaf, index, p := m.leaves[at], at, m.inclusion(size, at)[0]
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

func eventProver(t *testing.T, r ledger.Reader, signed []byte) *ledger.EventProver {
	t.Helper()
	p, err := ledger.NewEventProver(r, signed)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEventProverProves(t *testing.T) {
	h := newHistory(t, 700)
	p := eventProver(t, h.tree, h.signed)
	if p.Size() != 700 {
		t.Errorf("its size is %d", p.Size())
	}
	for from := 0; from < 700; from += 70 {
		proofs, err := p.Prove(t.Context(), h.events[from:from+70])
		if err != nil || len(proofs) != 70 {
			t.Fatal(err)
		}
		for i, proof := range proofs {
			if err := ledger.VerifyInclusion(h.tree.leaves[from+i], int64(from+i), 700, proof, h.tree.root(700)); err != nil {
				t.Error(err)
			}
		}
	}
}

// Whatever was changed in the store, no proof leaves that would not verify, and the event is named.
func TestEventProverHandsOutNothingThatDoesNotVerify(t *testing.T) {
	for name, change := range map[string]func(h *history){
		"an event":          func(h *history) { h.events[300].Type += "!" },
		"its position":      func(h *history) { h.events[300].Position = 301 },
		"a later position":  func(h *history) { h.events[300].Position = 700 },
		"its stored leaf":   func(h *history) { h.events[300].Version++; h.tree.leaves[300] = ledger.EventLeaf(&h.events[300]) },
		"a leaf beside it":  func(h *history) { h.tree.leaves[301][0]++ },
		"a tile above it":   func(h *history) { h.tree.tiles[ledger.TileID{Level: 1}][0][0]++ },
		"the checkpoint":    func(h *history) { h.signed = sign(h.t, ledger.Events, 700, ledger.Hash{1}, h.key) },
		"a checkpoint less": func(h *history) { h.signed = sign(h.t, ledger.Events, 200, h.tree.root(200), h.key) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, 700)
			change(h)
			var written bytes.Buffer
			w, err := ledger.NewBundleWriter(&written, ledger.Events, h.signed)
			if err != nil {
				t.Fatal(err)
			}
			head := written.Len()
			var e *ledger.EvidenceError
			err = w.Events(t.Context(), eventProver(t, h.tree, h.signed), h.events[300:301])
			if !errors.As(err, &e) || e.ID != h.events[300].ID.String() || e.Position != h.events[300].Position {
				t.Errorf("got %v", err)
			}
			if written.Len() != head {
				t.Error("it was written")
			}
		})
	}
	access := newAccessHistory(t, 5)
	for _, signed := range []string{"", "nonsense", "a\n\nb", string(access.signed)} {
		var e *ledger.EvidenceError
		if _, err := ledger.NewEventProver(access.tree, []byte(signed)); !errors.As(err, &e) || e.ID != "" {
			t.Errorf("%q: %v", signed, err)
		}
	}
	h := newHistory(t, 5)
	if _, err := eventProver(t, failing{}, h.signed).Prove(t.Context(), h.events); !errors.Is(err, errBroken) {
		t.Errorf("a store that is away: %v", err)
	}
}

type failing struct{ ledger.Reader }

func (failing) Leaves(context.Context, []ledger.Range) ([][]ledger.Hash, error) {
	return nil, errBroken
}
