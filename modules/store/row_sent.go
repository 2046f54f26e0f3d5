package store

import (
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// Package audit reads rows with these.

// CheckpointNoteSQL is a checkpoint's note with all signatures, of ledger_checkpoints AS c.
const CheckpointNoteSQL = checkpointNote

// RowID returns the batch and the index of a row's id.
func RowID(id int64) (batch int64, index int) { return id >> indexBits, int(id & indexMask) }

// MaxBatch is the largest number of a batch: an id has 63 bits.
const MaxBatch = 1<<(63-indexBits) - 1

// jsonbVersion is the byte before the text in the output of jsonb_send.
const jsonbVersion = 1

// ScanSentRow is scanRow for documents as jsonb_send writes them. If IsCorrupt(err), the row was read but is no event;
// its id and times are returned.
func ScanSentRow(rows pgx.Rows) (id int64, e event.Stored, err error) {
	var (
		r                 row
		payload, metadata []byte
		sealed            []byte
	)
	salt, err := r.scanColumns(rows, &payload, &metadata, &sealed)
	if err != nil {
		return 0, event.Stored{}, err
	}
	for _, document := range []*[]byte{&payload, &metadata} {
		if len(*document) == 0 || (*document)[0] != jsonbVersion {
			return r.id, r.stored, CorruptRow(r.id, "a document is not in the form of jsonb_send")
		}
		*document = (*document)[1:]
	}
	err = r.fill(salt, payload, metadata, sealed)
	return r.id, r.stored, err
}

// CorruptRow returns the error for a row that is no event.
func CorruptRow(id int64, why string) error {
	return fmt.Errorf("event row %d: %w: %s", id, errCorrupt, why)
}

// IsCorrupt reports whether err says that a row is no event.
func IsCorrupt(err error) bool { return errors.Is(err, errCorrupt) }
