package store

import (
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
)

// leavesOf computes the events' leaves in the ledger before the transaction begins: a leaf is over the
// event as it will be read back, and its position is not in it.
func leavesOf(events []protect.Sealed, recordedAt time.Time, salts []byte) []ledger.Hash {
	leaves := make([]ledger.Hash, len(events))
	var s event.Stored
	for i := range events {
		s.Event = *events[i].Event()
		s.RecordedAt = recordedAt
		s.Kafka = events[i].Raw().Coordinates
		s.Salt = [saltBytes]byte(salts[i*saltBytes:])
		leaves[i] = ledger.EventLeaf(&s)
	}
	return leaves
}

// leaves are the survivors' leaves, as the batch's row has them.
func (t *transaction) leaves() []byte {
	b := make([]byte, 0, len(t.survivors)*ledger.HashSize)
	for _, i := range t.survivors {
		b = append(b, t.plan.leaves[i][:]...)
	}
	return b
}
