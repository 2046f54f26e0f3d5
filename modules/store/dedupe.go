package store

import (
	"context"
	"encoding/binary"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
)

const (
	nextBatchSQL = `SELECT nextval('event_batches')`

	// It uses the primary key of event_keys. unnest keeps the arrays' order, which is the order of the locks.
	takeKeysSQL = `INSERT INTO event_keys (event_id, batch, timestamp, digest)
		SELECT k.event_id, $1, k.timestamp, k.digest
		FROM unnest($2::uuid[], $3::timestamptz[], $4::bytea[]) AS k (event_id, timestamp, digest)
		ON CONFLICT (event_id) DO NOTHING`

	// It MUST be a statement of its own after takeKeysSQL: only then does it see the rows that the insert waited for.
	holdersSQL = `SELECT event_id, batch, digest FROM event_keys WHERE event_id = ANY ($1::uuid[])`
)

// dedupe (step 2) inserts the batch's event ids, and decides about the events whose id is already taken.
func (t *transaction) dedupe(ctx context.Context) error {
	if len(t.plan.events) == 0 {
		return nil
	}
	keys := t.plan.keyArrays()
	statement, err := t.conn.Prepare(ctx, "audittrail_take_keys", takeKeysSQL)
	if err != nil {
		return fmt.Errorf("take event ids: %w", err)
	}
	binary := []int16{pgx.BinaryFormatCode}
	result := t.conn.PgConn().ExecPrepared(ctx, statement.Name,
		[][]byte{appendInt8(nil, t.batch)[4:], keys.ids, keys.timestamps, keys.digests}, binary, binary).Read()
	if result.Err != nil {
		return fmt.Errorf("take event ids: %w", result.Err)
	}
	var holders map[event.ID]holder
	if result.CommandTag.RowsAffected() < int64(len(t.plan.groups)) {
		if holders, err = t.readHolders(ctx, keys.ids); err != nil {
			return fmt.Errorf("read event ids: %w", err)
		}
	}
	t.verdicts = t.plan.judge(t.batch, holders)
	t.survivors = make([]int32, 0, len(t.verdicts))
	for i, v := range t.verdicts {
		switch v {
		case survives:
			t.survivors = append(t.survivors, int32(i))
		case duplicate:
			t.duplicates++
		case conflict:
			t.conflicts++
		}
	}
	return nil
}

func (t *transaction) readHolders(ctx context.Context, ids []byte) (map[event.ID]holder, error) {
	statement, err := t.conn.Prepare(ctx, "audittrail_holders", holdersSQL)
	if err != nil {
		return nil, err
	}
	binary := []int16{pgx.BinaryFormatCode}
	found := pgx.RowsFromResultReader(t.conn.TypeMap(),
		t.conn.PgConn().ExecPrepared(ctx, statement.Name, [][]byte{ids}, binary, binary))
	defer found.Close()
	holders := make(map[event.ID]holder, len(t.plan.groups))
	for found.Next() {
		var (
			id event.ID
			h  holder
		)
		if err := found.Scan((*[16]byte)(&id), &h.batch, &h.digest); err != nil {
			return nil, err
		}
		holders[id] = h
	}
	return holders, found.Err()
}

// keyArrays are the columns of event_keys for a plan's groups, as PostgreSQL arrays in binary form. They have one
// element per event. Encoding them here takes a tenth of the CPU that the driver would need.
type keyArrays struct {
	ids, timestamps, digests []byte
}

func (p *plan) keyArrays() keyArrays {
	n := len(p.groups)
	k := keyArrays{
		ids:        newArray(n, pgtype.UUIDOID, 16),
		timestamps: newArray(n, pgtype.TimestamptzOID, 8),
		digests:    newArray(n, pgtype.ByteaOID, 17),
	}
	for _, group := range p.groups {
		first := &p.events[group[0]] // the first one is inserted
		e := first.Event()
		k.ids = append(binary.BigEndian.AppendUint32(k.ids, uint32(len(e.ID))), e.ID[:]...)
		k.timestamps = appendInt8(k.timestamps, postgresMicros(e.Timestamp))
		k.digests = appendText(k.digests, string(first.Digest()))
	}
	return k
}

// newArray begins a one-dimensional array without nulls (array_send in PostgreSQL's arrayfuncs.c).
func newArray(n int, element uint32, width int) []byte {
	b := make([]byte, 0, 20+n*(4+width))
	if n == 0 {
		b = binary.BigEndian.AppendUint32(b, 0) // no dimensions
		b = binary.BigEndian.AppendUint32(b, 0)
		return binary.BigEndian.AppendUint32(b, element)
	}
	b = binary.BigEndian.AppendUint32(b, 1) // dimensions
	b = binary.BigEndian.AppendUint32(b, 0) // no nulls
	b = binary.BigEndian.AppendUint32(b, element)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return binary.BigEndian.AppendUint32(b, 1) // lower bound
}

// holder is the event that has an id already: its batch and digest.
type holder struct {
	batch  int64
	digest []byte
}

// verdict is what becomes of one event of a batch.
type verdict uint8

const (
	survives verdict = iota
	duplicate
	conflict
)

// judge compares each event with the digest of its id's holder. holders has the events of ids that this transaction
// did not insert. If it is nil, the first event of every group took its id.
func (p *plan) judge(batch int64, holders map[event.ID]holder) []verdict {
	verdicts := make([]verdict, len(p.events))
	for _, group := range p.groups {
		first := &p.events[group[0]]
		digest := first.Digest()
		rest := group[1:]
		if h, ok := holders[first.Event().ID]; ok && h.batch != batch {
			digest, rest = h.digest, group
		}
		for _, i := range rest {
			verdicts[i] = conflict
			if p.events[i].Says(digest) {
				verdicts[i] = duplicate
			}
		}
	}
	return verdicts
}
