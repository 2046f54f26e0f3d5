package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

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
			if err := ledger.VerifyInclusion(h.tree.Hashes[from+i], int64(from+i), 700, proof, h.tree.Root(700)); err != nil {
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
		"its stored leaf":   func(h *history) { h.events[300].Version++; h.tree.Hashes[300] = ledger.EventLeaf(&h.events[300]) },
		"a leaf beside it":  func(h *history) { h.tree.Hashes[301][0]++ },
		"a tile above it":   func(h *history) { h.tree.Stored[ledger.TileID{Level: 1}][0][0]++ },
		"the checkpoint":    func(h *history) { h.signed = ledgertest.Sign(h.t, ledger.Events, 700, ledger.Hash{1}, h.key) },
		"a checkpoint less": func(h *history) { h.signed = ledgertest.Sign(h.t, ledger.Events, 200, h.tree.Root(200), h.key) },
	} {
		t.Run(name, func(t *testing.T) {
			h := newHistory(t, 700)
			change(h)
			var written bytes.Buffer
			w, err := evidence.NewBundleWriter(&written, ledger.Events, h.signed)
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
