package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// What package audit needs to read rows as this package does.

// CheckpointNoteSQL is a checkpoint's note with the signatures that were added to it, of ledger_checkpoints AS c.
const CheckpointNoteSQL = checkpointNote

// RowID returns the batch and the index within it that a row's id is made of.
func RowID(id int64) (batch int64, index int) { return id >> indexBits, int(id & indexMask) }

// MaxBatch is the largest number of a batch: an id has 63 bits.
const MaxBatch = 1<<(63-indexBits) - 1

// jsonbVersion is the byte before the text of a document that was sent.
const jsonbVersion = 1

// ScanSentRow is scanRow for documents as jsonb_send spells them. If the error is IsCorrupt, the row was read,
// and is no event's: id and times are there.
func ScanSentRow(rows pgx.Rows) (id int64, e event.Stored, err error) {
	var (
		r                 row
		payload, metadata []byte
	)
	salt, err := r.scanColumns(rows, &payload, &metadata)
	if err != nil {
		return 0, event.Stored{}, err
	}
	for _, document := range []*[]byte{&payload, &metadata} {
		if len(*document) == 0 || (*document)[0] != jsonbVersion {
			return r.id, r.stored, CorruptRow(r.id, "a document is not spelled as jsonb is")
		}
		*document = (*document)[1:]
	}
	err = r.fill(salt, payload, metadata)
	return r.id, r.stored, err
}

// CorruptRow returns the error of a row that is no event's.
func CorruptRow(id int64, why string) error {
	return fmt.Errorf("event row %d: %w: %s", id, errCorrupt, why)
}

// IsCorrupt reports whether a row was read that is no event's.
func IsCorrupt(err error) bool { return errors.Is(err, errCorrupt) }
