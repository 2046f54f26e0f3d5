package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/protect"
)

// heldSets is how many sets of keys are held in memory before the keys are asked for.
const heldSets = 50_000

// heldKeys counts events by the keys of their sealed values, and so those that have erased values: nothing in a row
// tells of that.
type heldKeys struct {
	opener *protect.Opener // nil: nobody knows
	sets   map[string]heldSet
	known  int64 // events with erased values, of sets that are no longer held
}

type heldSet struct {
	keys   []protect.KeyID
	events int64
}

func newHeldKeys(o *protect.Opener) *heldKeys {
	return &heldKeys{opener: o, sets: map[string]heldSet{}}
}

// heldSQL lists what the column sealed has of rows of a selection up to a position, by the unique index (log, batch) of
// ledger_batches.
const heldSQL = `SELECT e.sealed FROM (%s) AS e JOIN ledger_batches AS b ON b.log = 'events' AND b.batch = e.id >> 14
	WHERE e.sealed IS NOT NULL AND b.first_position + (e.id & 16383) <= %s`

// noteKeys reads which keys the selection's events have.
func (s *selection) noteKeys(ctx context.Context, conn *pgx.Conn, until int64, into *heldKeys) error {
	if into.opener == nil {
		return nil
	}
	rows, args := s.rows("id, timestamp, sealed", scopesOf(ctx))
	sql := fmt.Sprintf(heldSQL, rows, fmt.Sprint("$", len(args)+1))
	found, err := conn.Query(ctx, sql, append(append([]any{pgx.QueryExecModeExec}, args...), until)...)
	if err != nil {
		return err
	}
	var column []byte
	_, err = pgx.ForEachRow(found, []any{&column}, func() error {
		keys, err := protect.ColumnKeys(column)
		if err == nil {
			err = into.note(ctx, keys)
		}
		return err
	})
	return err
}

func (h *heldKeys) note(ctx context.Context, keys []protect.KeyID) error {
	var name []byte
	for _, key := range keys {
		name = append(name, key[:]...)
	}
	set := h.sets[string(name)]
	h.sets[string(name)] = heldSet{keys, set.events + 1}
	if len(h.sets) < heldSets {
		return nil
	}
	var err error
	h.known, err = h.erased(ctx)
	clear(h.sets)
	return err
}

// erased returns how many of the events have erased values.
func (h *heldKeys) erased(ctx context.Context) (int64, error) {
	var ids []protect.KeyID
	for _, set := range h.sets {
		ids = append(ids, set.keys...)
	}
	n := h.known
	if len(ids) == 0 {
		return n, nil
	}
	bounded, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	destroyed, err := h.opener.Destroyed(bounded, ids)
	if err != nil {
		if ctx.Err() != nil {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("look for erased values: %w", err)
	}
	for _, set := range h.sets {
		if slices.ContainsFunc(set.keys, func(id protect.KeyID) bool { return destroyed[id] }) {
			n += set.events
		}
	}
	return n, nil
}
