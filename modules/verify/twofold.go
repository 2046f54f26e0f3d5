package verify

import (
	"context"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// The walk reads leaves by position, and a row's leaf is read by its batch. In a table whose indexes were
// tampered with these may be two rows of ledger_batches: one that was signed, and one that an altered event
// fits. Sums over both (blocks) show it.

// twofoldMost bounds how many blocks are looked at event by event.
const twofoldMost = 100

// findTwofold names the events that fit a leaf which is not the one that the log's root is computed from.
func (r *run) findTwofold(ctx context.Context, v *store.View) error {
	for i, number := range r.blocks.twofold() {
		from, to := number<<blockBits, (number+1)<<blockBits
		found := 0
		if i < twofoldMost {
			var err error
			if found, err = r.findTwofoldIn(ctx, v, from, to); err != nil {
				return err
			}
		}
		if found == 0 {
			r.findings.add(Finding{Kind: LedgerGap, Log: ledger.Events,
				Detail: "ledger_batches has two rows in place of one here: the leaf hashes that events fit are not those that the log's root is computed from"}.within(from, to))
		}
	}
	return nil
}

func (r *run) findTwofoldIn(ctx context.Context, v *store.View, from, to int64) (found int, err error) {
	what := Finding{Kind: LedgerGap, Log: ledger.Events, Detail: "what stands at these positions can't be read a second time"}.within(from, to)
	leaves := make(map[int64]ledger.Hash, blockWidth)
	err = v.Leaves(ctx, ledger.Events, from, to, func(position int64, list []ledger.Hash) error {
		for i, leaf := range list {
			leaves[position+int64(i)] = leaf
		}
		return nil
	})
	if err := r.unread(err, what); err != nil {
		return 0, err
	}
	var batches []store.LedgerBatch
	err = v.BatchesBetween(ctx, ledger.Events, from, to, func(b store.LedgerBatch) error {
		if b.Placed() {
			batches = append(batches, b)
		}
		return nil
	})
	if err := r.unread(err, what); err != nil {
		return 0, err
	}
	for _, b := range batches {
		err := v.RowsOf(ctx, b.Batch, b.Batch, func(row *store.EventRow) error {
			position := b.First + int64(row.Index())
			if leaf, ok := leaves[position]; ok && row.Corrupt == nil && row.Leaf != leaf {
				found++
				r.findings.add(eventFinding(EventAltered, row.EventID.String(),
					"it was changed: it fits a second row of its batch in ledger_batches, and not the one that the log's root is computed from").at(position))
			}
			return nil
		})
		if err := r.unread(err, what); err != nil {
			return found, err
		}
	}
	return found, nil
}
