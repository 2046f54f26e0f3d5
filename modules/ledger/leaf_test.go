package ledger_test

import (
	"crypto/sha256"
	"testing"

	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

func TestEventLeafIsTheCanonicalFormsHash(t *testing.T) {
	for _, s := range ledgertest.StoredEvents(t, 200) {
		want := ledger.Hash(sha256.Sum256(append([]byte{0}, s.Canonical()...)))
		if got := ledger.EventLeaf(&s); got != want || ledger.LeafHash(s.Canonical()) != want {
			t.Errorf("event %d: %s", s.Position, got)
		}
		moved := s
		moved.Position++
		if ledger.EventLeaf(&moved) != want {
			t.Error("the position is in the leaf")
		}
	}
}

func TestHashHasOneSpelling(t *testing.T) {
	h := ledgertest.Numbered(1)[0]
	if got, err := ledger.ParseHash(h.String()); err != nil || got != h {
		t.Error(got, err)
	}
	s := h.String()
	for _, bad := range []string{"", s[:43], s + "\n", s[:10] + "\n" + s[10:], s[:42] + "/=", "AAAA"} {
		if _, err := ledger.ParseHash(bad); err == nil && bad != s {
			t.Errorf("took %q", bad)
		}
	}
	if b := ledger.AppendHashes(nil, []ledger.Hash{h, h}); len(b) != 64 {
		t.Error(len(b))
	} else if got, ok := ledger.SplitHashes(b); !ok || len(got) != 2 || got[1] != h {
		t.Error(got)
	}
	if _, ok := ledger.SplitHashes(make([]byte, 33)); ok {
		t.Error("took half a hash")
	}
}

// Ingest makes a leaf for each event: its 3 % of an event's time are about a microsecond.
func BenchmarkEventLeaf(b *testing.B) {
	s := ledgertest.StoredEvents(b, 1)[0]
	b.SetBytes(int64(len(s.Canonical())))
	b.ReportAllocs()
	for b.Loop() {
		ledger.EventLeaf(&s)
	}
}
