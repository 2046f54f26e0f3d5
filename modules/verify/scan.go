package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// readRows returns the rows of pages, hashed. Rows that can't be read are among them, as corrupt ones.
func (r *run) readRows(ctx context.Context, v *audit.View, p *pages) (rows []audit.EventRow, err error) {
	err = r.readable(ctx, v, p, EventUnreadable, func(some audit.Pages) error {
		rows = rows[:0]
		return v.Rows(ctx, some, func(row *audit.EventRow) error {
			rows = append(rows, *row)
			return nil
		})
	})
	for _, line := range p.bad {
		rows = append(rows, audit.EventRow{ID: line.ID, EventID: line.EventID, Corrupt: line.Why})
	}
	return rows, err
}

// scanRows hashes the rows of pages and counts each by its position.
func (r *run) scanRows(ctx context.Context, v *audit.View, p *pages) error {
	rows, err := r.readRows(ctx, v, p)
	if err != nil {
		return err
	}
	numbers := map[int64]bool{}
	for i := range rows {
		numbers[rows[i].Batch()] = true
	}
	batches, err := r.numbered(ctx, v, numbers)
	if err != nil || batches == nil {
		r.blind.Store(true)
		return err
	}
	for i := range rows {
		row := &rows[i]
		b, known := batches[row.Batch()]
		position, placed := positionOf(b, row, known)
		if !placed {
			r.addLoose(row)
			continue
		}
		p.cover(b.Batch)
		if row.Corrupt == nil && !p.Holds(row.Timestamp) {
			r.findings.add(eventFinding(EventMoved, row.EventID.String(), "its row is in "+p.Table()+
				", a partition of other times, where no query by time finds it").at(position))
		}
		r.blocks.addRow(position, b.First, row)
	}
	r.progress.Events.Add(int64(len(rows)))
	return nil
}

// positionOf returns the position of a row of a batch; ok is false if the ledger has no position for it.
func positionOf(b audit.LedgerBatch, row *audit.EventRow, known bool) (position int64, ok bool) {
	index := int64(row.Index())
	return b.First + index, known && b.Placed() && index < b.Count
}

// cover notes that the pages have a row of a batch.
func (p *pages) cover(batch int64) {
	if p.high == 0 || batch < p.low {
		p.low = batch
	}
	p.high = max(p.high, batch)
}

// looseKept bounds how many rows without a position are kept; all are counted.
const looseKept = 20_000

// addLoose notes a row that the ledger has no position for.
func (r *run) addLoose(row *audit.EventRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looseCount++; len(r.loose) < looseKept {
		r.loose = append(r.loose, *row)
	}
}

// numbered returns batches of events by their numbers, or nil if they can't be read.
func (r *run) numbered(ctx context.Context, v *audit.View, numbers map[int64]bool) (map[int64]audit.LedgerBatch, error) {
	batches, err := v.NumberedBatches(ctx, slices.Collect(maps.Keys(numbers)))
	if err == nil {
		return batches, nil
	}
	return nil, r.unread(err, Finding{Kind: LedgerGap, Log: ledger.Events, Detail: "batches can't be read by number, so their rows and keys were not compared"})
}

// scanKeys counts the keys of pages by the position of their batch, and those whose times no partition holds.
func (r *run) scanKeys(ctx context.Context, v *audit.View, p *pages) error {
	var keys []audit.Key
	err := r.readable(ctx, v, p, KeyAltered, func(some audit.Pages) error {
		keys = keys[:0]
		return v.Keys(ctx, some, func(k *audit.Key) error {
			keys = append(keys, *k)
			return nil
		})
	})
	r.mu.Lock()
	for _, line := range p.bad {
		r.findings.add(eventFinding(KeyAltered, line.EventID.String(), "its row in event_keys can't be read: "+line.Why.Error()))
		r.unreadKeys[line.EventID] = true
	}
	r.mu.Unlock()
	if err != nil {
		return err
	}
	numbers := map[int64]bool{}
	lost := make([]int64, len(r.uncovered))
	for i := range keys {
		numbers[keys[i].Batch] = true
		for j, gap := range r.uncovered {
			if gap.Holds(keys[i].Timestamp) {
				lost[j]++
			}
		}
	}
	batches, err := r.numbered(ctx, v, numbers)
	if err != nil || batches == nil {
		r.blindKeys.Store(true)
		return err
	}
	for i := range keys {
		k := &keys[i]
		b, ok := batches[k.Batch]
		if !ok || !b.Placed() {
			r.findings.add(eventFinding(KeyWithoutEvent, k.EventID.String(), "event_keys names a batch for it that the ledger does not have"))
			continue
		}
		p.cover(b.Batch)
		r.blocks.addKey(b.First, k)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range lost {
		r.lostTimes[i] += n
	}
	return nil
}

// reportLostPartitions reports times of events that no partition holds.
func (r *run) reportLostPartitions() {
	for i, gap := range r.uncovered {
		if r.scanned && r.lostTimes[i] > 0 {
			r.findings.add(Finding{Kind: PartitionGone, Log: ledger.Events, Detail: fmt.Sprintf(
				"no partition of events holds the time %s, but %d events have such a time: the partition was dropped or detached", gap, r.lostTimes[i])})
		}
	}
}
