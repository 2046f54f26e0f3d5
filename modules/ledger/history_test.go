package ledger_test

import (
	"testing"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// history is a log of events with its signed checkpoint.
type history struct {
	events []event.Stored
	tree   *ledgertest.Memory
	signed []byte
}

func newHistory(t testing.TB, n int) *history {
	t.Helper()
	h := &history{events: ledgertest.StoredEvents(t, n)}
	leaves := make([]ledger.Hash, n)
	for i := range h.events {
		leaves[i] = ledger.EventLeaf(&h.events[i])
	}
	h.tree = ledgertest.NewMemory(t, leaves)
	h.tree.Build(int64(n))
	h.signed = ledgertest.Sign(t, ledger.Events, int64(n), h.tree.Root(int64(n)), ledgertest.Key(t, 1))
	return h
}
