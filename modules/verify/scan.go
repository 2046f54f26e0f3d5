package verify

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// readRows returns the rows of pages, hashed. Those that can't be read are corrupt.
func (r *run) readRows(ctx context.Context, v *audit.View, p *pages) (rows []audit.EventRow, err error) {
	err = r.readable(ctx, v, p, EventUnreadable, func(some audit.Pages) error {
		rows = rows[:0]
		return v.Rows(ctx, some, func(row *audit.EventRow) error {
			rows = append(rows, *row)
			return nil
		})
	})
	for _, line := range p.bad {
		rows = append(rows, line.Named())
	}
	return rows, err
}

// scanRows hashes the rows of pages, and counts each by its place.
func (r *run) scanRows(ctx context.Context, v *audit.View, p *pages) error {
	rows, err := r.readRows(ctx, v, p)
	if err != nil {
		return err
	}
	numbers := map[int64]bool{}
	for i := range rows {
		numbers[rows[i].Batch()] = true
	}
	batches, known, err := r.numbered(ctx, v, numbers)
	if err != nil || !known {
		r.blind.Store(true)
		return err
	}
	places := make([]placed, 0, len(rows))
	for i := range rows {
		row := &rows[i]
		b, ok := batches[row.Batch()]
		position, ok := placeOf(b, row, ok)
		if !ok {
			r.addLoose(row)
			continue
		}
		p.cover(b.Batch)
		if !p.Holds(row.Timestamp) && row.Corrupt == nil {
			r.findings.add(eventFinding(EventMoved, row.EventID.String(), "its row stands in "+p.Table()+", a partition of other times, where nothing that asks for its own finds it").at(position))
		}
		places = append(places, placed{position, b.First, r.blocks.leafSum(position, row.Leaf), r.blocks.keySum(row.EventID, b.Batch, row.Timestamp, row.Digest[:])})
	}
	r.blocks.addRows(places)
	r.progress.rows.Add(int64(len(rows)))
	return nil
}

// placeOf returns the position of a row of a batch; ok is false where the ledger has none for it.
func placeOf(b audit.LedgerBatch, row *audit.EventRow, known bool) (position int64, ok bool) {
	return b.First + int64(row.Index()), known && b.Placed() && int64(row.Index()) < b.Count
}

// cover notes that a row is of a batch.
func (p *pages) cover(batch int64) {
	if p.high == 0 || batch < p.low {
		p.low = batch
	}
	p.high = max(p.high, batch)
}

// looseKept bounds how many rows without a place are remembered; all are counted.
const looseKept = 20_000

// addLoose notes a row that the ledger has no place for.
func (r *run) addLoose(row *audit.EventRow) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.looseCount++; len(r.loose) < looseKept {
		r.loose = append(r.loose, *row)
	}
}

// numbered reads batches of events by their numbers. known is false where they can't be read.
func (r *run) numbered(ctx context.Context, v *audit.View, numbers map[int64]bool) (batches map[int64]audit.LedgerBatch, known bool, err error) {
	batches, err = v.NumberedBatches(ctx, slices.Collect(maps.Keys(numbers)))
	if err == nil {
		return batches, true, nil
	}
	return nil, false, r.unread(err, Finding{Kind: LedgerGap, Log: ledger.Events, Detail: "batches can't be read by their numbers, so that rows and keys of them were not looked at"})
}

// scanKeys counts the keys of pages by the place of their batch, and those of events that lie in no partition.
func (r *run) scanKeys(ctx context.Context, v *audit.View, p *pages) error {
	var keys []audit.Key
	err := r.readable(ctx, v, p, KeyAltered, func(some audit.Pages) error {
		keys = keys[:0]
		return v.Keys(ctx, some, func(k *audit.Key) error {
			keys = append(keys, *k)
			return nil
		})
	})
	for _, line := range p.bad {
		r.findings.add(eventFinding(KeyAltered, line.EventID.String(), "its row in event_keys can't be read: "+line.Why.Error()))
		r.mu.Lock()
		r.unreadKeys[line.EventID] = true
		r.mu.Unlock()
	}
	if err != nil {
		return err
	}
	numbers := map[int64]bool{}
	for i := range keys {
		numbers[keys[i].Batch] = true
	}
	batches, known, err := r.numbered(ctx, v, numbers)
	if err != nil || !known {
		r.blindKeys.Store(true)
		return err
	}
	places := make([]placed, 0, len(keys))
	lost := make([]int64, len(r.uncovered))
	for i := range keys {
		k := &keys[i]
		for j, gap := range r.uncovered {
			if gap.Holds(k.Timestamp) {
				lost[j]++
			}
		}
		b, ok := batches[k.Batch]
		if !ok || !b.Placed() {
			r.findings.add(eventFinding(KeyWithoutEvent, k.EventID.String(), "event_keys names a batch for it that the ledger does not have"))
			continue
		}
		p.cover(b.Batch)
		places = append(places, placed{first: b.First, key: r.blocks.keySum(k.EventID, k.Batch, k.Timestamp, k.Digest)})
	}
	r.blocks.addKeys(places)
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range lost {
		r.lostTimes[i] += n
	}
	return nil
}

// lostPartitions reports times that no partition holds, though events lie in them.
func (r *run) lostPartitions() {
	for i, gap := range r.uncovered {
		if r.scanned && r.lostTimes[i] > 0 {
			r.findings.add(Finding{Kind: PartitionGone, Log: ledger.Events, Detail: fmt.Sprintf(
				"no partition of events holds the time %s, in which %d events lie: it was dropped or detached", gap, r.lostTimes[i])})
		}
	}
}
