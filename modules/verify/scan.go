package verify

import (
	"context"
	"maps"
	"slices"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// scan reads pages, and counts each row or key in the block of its batch.
func (r *run) scan(ctx context.Context, v *audit.View, p *pages) error {
	if p.Log == "" {
		return r.scanKeys(ctx, v, p)
	}
	rows, err := r.readRows(ctx, v, p)
	if err != nil {
		return err
	}
	numbers := map[int64]bool{}
	for i := range rows {
		numbers[rows[i].Batch()] = true
	}
	batches, err := r.numbered(ctx, v, p.Log, numbers)
	if err != nil || batches == nil {
		r.blind.Store(true)
		return err
	}
	for i := range rows {
		row := &rows[i]
		b, known := batches[row.Batch()]
		if !known || !b.Placed() || int64(row.Index()) >= b.Count {
			r.findings.add(rowFinding(EventInserted, p.Log, row, "the ledger has no position for its row"))
			continue
		}
		p.cover(b.Batch)
		if row.Corrupt == nil && !p.Holds(row.Timestamp) {
			r.findings.add(rowFinding(EventMoved, p.Log, row, "its row is in "+p.Table+
				", a partition of other times, where no query by time finds it").at(b.First + int64(row.Index())))
		}
		r.blocks[p.Log].addRow(b.First, row)
	}
	if p.Log == ledger.Events {
		r.progress.Events.Add(int64(len(rows)))
	}
	return nil
}

// numbered returns batches by their numbers, or nil if they can't be read.
func (r *run) numbered(ctx context.Context, v *audit.View, log ledger.Log, numbers map[int64]bool) (map[int64]audit.LedgerBatch, error) {
	batches, err := v.NumberedBatches(ctx, log, slices.Collect(maps.Keys(numbers)))
	if err == nil {
		return batches, nil
	}
	return nil, r.unread(err, Finding{Kind: LedgerGap, Log: log, Detail: "batches can't be read by number, so their rows and keys were not compared"})
}

// scanKeys counts the keys of pages, and reports those whose times no partition holds.
func (r *run) scanKeys(ctx context.Context, v *audit.View, p *pages) error {
	keys, err := r.readKeys(ctx, v, p)
	if err != nil {
		return err
	}
	numbers := map[int64]bool{}
	for i := range keys {
		numbers[keys[i].Batch] = true
	}
	batches, err := r.numbered(ctx, v, ledger.Events, numbers)
	if err != nil || batches == nil {
		r.blindKeys.Store(true)
		return err
	}
	for i := range keys {
		k := &keys[i]
		if k.Corrupt != nil {
			r.findings.add(eventFinding(KeyAltered, k.EventID, "its row in event_keys can't be read: "+k.Corrupt.Error()))
			r.unreadKeys.Store(k.EventID, true)
			continue
		}
		if !audit.Hold(r.partitions, k.Timestamp) {
			r.findings.add(eventFinding(PartitionGone, k.EventID, "no partition of events is for its time: the partition was dropped or detached"))
		}
		b, ok := batches[k.Batch]
		if !ok || !b.Placed() {
			r.findings.add(eventFinding(KeyWithoutEvent, k.EventID, "event_keys names a batch for it that the ledger does not have"))
			continue
		}
		p.cover(b.Batch)
		r.blocks[ledger.Events].addKey(b.First, k)
	}
	return nil
}
