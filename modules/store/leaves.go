package store

import (
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/protect"
)

// leavesOf computes the events' leaves before the transaction begins. That is possible since a leaf covers the event
// as it will be read, without its position.
func leavesOf(events []protect.Sealed, recordedAt time.Time, salts []byte) ([]ledger.Hash, error) {
	leaves := make([]ledger.Hash, len(events))
	var (
		s     event.Stored
		space []byte
		err   error
	)
	for i := range events {
		if s.Event, space, err = events[i].Stored(space); err != nil {
			return nil, err
		}
		s.RecordedAt = recordedAt
		s.Kafka = events[i].Raw().Coordinates
		s.Salt = [saltBytes]byte(salts[i*saltBytes:])
		leaves[i] = ledger.EventLeaf(&s)
	}
	return leaves, nil
}

// leaves returns the survivors' leaves, as they are stored in the batch's row.
func (t *transaction) leaves() []byte {
	b := make([]byte, 0, len(t.survivors)*ledger.HashSize)
	for _, i := range t.survivors {
		b = append(b, t.plan.leaves[i][:]...)
	}
	return b
}
