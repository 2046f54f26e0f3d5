package verify

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// comparedMost bounds how many rows and keys are compared one by one. Somebody may have given one batch
// millions of keys.
const comparedMost = 1 << 18

// examined is a batch of a block that does not fit, with all that is read of it.
type examined struct {
	audit.LedgerBatch
	leaves []ledger.Hash // as the root was computed from, as far as they can be read
	mu     sync.Mutex
	rows   []audit.Row
	keys   []audit.Key
}

// lookCloser compares the leaves, rows and keys of the blocks that do not fit, one by one, and names what differs.
func (r *run) lookCloser(ctx context.Context) error {
	for _, log := range ledger.Logs() {
		few, others := r.blocks[log].differing(comparedMost)
		batches, err := r.examine(ctx, log, few)
		if err != nil {
			return err
		}
		for _, b := range batches {
			r.compare(log, b)
		}
		r.reportBlocks(log, others)
	}
	r.looked = true
	return nil
}

// examine reads all batches of some blocks, with their leaves, rows and keys. It returns them sorted. What can't be read
// has its finding from the first pass.
func (r *run) examine(ctx context.Context, log ledger.Log, blocks []int64) ([]*examined, error) {
	if len(blocks) == 0 {
		return nil, nil
	}
	v := r.snapshot.Views()[0]
	byFirst, byNumber := map[int64]*examined{}, map[int64]*examined{}
	ends := map[int64]int64{} // of the batches of each block
	add := func(b audit.LedgerBatch) {
		if _, wanted := slices.BinarySearch(blocks, blockOf(b.First)); !wanted || !b.Placed() || byFirst[b.First] != nil {
			return
		}
		byFirst[b.First] = &examined{LedgerBatch: b}
		if byNumber[b.Batch] == nil { // as NumberedBatches does
			byNumber[b.Batch] = byFirst[b.First]
		}
		ends[blockOf(b.First)] = max(ends[blockOf(b.First)], b.End())
	}
	addLeaves := func(first, index int64, leaves []ledger.Hash) {
		if b := byFirst[first]; b != nil && index == 0 {
			b.leaves = leaves[:min(int64(len(leaves)), b.Count)]
		}
	}
	err := v.Batches(ctx, log, func(b audit.LedgerBatch) error { add(b); return nil })
	if log == ledger.Access && passable(err) == nil {
		err = v.Pending(ctx, func(b audit.LedgerBatch, leaves []ledger.Hash) error {
			add(b)
			addLeaves(b.First, 0, leaves)
			return nil
		})
	}
	for _, block := range blocks {
		if passable(err) == nil {
			err = v.Leaves(ctx, log, block<<blockBits, ends[block], func(first, index int64, leaves []ledger.Hash) error { addLeaves(first, index, leaves); return nil })
		}
	}
	if passable(err) != nil {
		return nil, err
	}
	var tasks []task
	numbers := slices.Sorted(maps.Keys(byNumber))
	for _, p := range r.pages {
		i, _ := slices.BinarySearch(numbers, p.low)
		if i == len(numbers) || numbers[i] > p.high || p.Log != log && (p.Log != "" || log != ledger.Events) {
			continue
		}
		tasks = append(tasks, func(ctx context.Context, v *audit.View) error { return r.readExamined(ctx, v, p, byNumber) })
	}
	err = r.work(ctx, tasks)
	return slices.SortedFunc(maps.Values(byFirst), func(a, b *examined) int { return cmp.Compare(a.First, b.First) }), err
}

// readExamined gives each row and key of pages to its batch.
func (r *run) readExamined(ctx context.Context, v *audit.View, p *pages, batches map[int64]*examined) error {
	if p.Log == "" {
		keys, err := r.readKeys(ctx, v, p)
		for i := range keys {
			if b := batches[keys[i].Batch]; b != nil && keys[i].Corrupt == nil {
				b.mu.Lock()
				b.keys = append(b.keys, keys[i])
				b.mu.Unlock()
			}
		}
		return err
	}
	rows, err := r.readRows(ctx, v, p)
	for i := range rows {
		if b := batches[rows[i].Batch()]; b != nil && int64(rows[i].Index()) < b.Count {
			b.mu.Lock()
			b.rows = append(b.rows, rows[i])
			b.mu.Unlock()
		}
	}
	return err
}

// compare adds a finding for each row of a batch that does not fit, each position without a row, and each event that
// does not fit its key.
func (r *run) compare(log ledger.Log, b *examined) {
	slices.SortFunc(b.rows, func(x, y audit.Row) int {
		return cmp.Or(cmp.Compare(x.ID, y.ID), bytes.Compare(x.EventID[:], y.EventID[:]))
	})
	taken := make([]bool, b.Count) // positions whose leaf a row gives, or that have a finding
	var fit, misfit, altered []*audit.Row
	for i := range b.rows {
		row := &b.rows[i]
		switch at := row.Index(); {
		case row.Corrupt == nil && at >= len(b.leaves): // its leaf can't be read
		case row.Corrupt == nil && !taken[at] && row.Leaf == b.leaves[at]:
			taken[at] = true
			fit = append(fit, row)
		default:
			misfit = append(misfit, row)
		}
	}
	for _, row := range misfit {
		f := rowFinding(EventAltered, log, row, "its row does not give its leaf hash: the row was changed, or the leaf hash if no signature covers it")
		switch {
		case row.Corrupt != nil:
			f.Kind, f.Detail = EventUnreadable, "its row holds what no event does: "+row.Corrupt.Error()
		case taken[row.Index()]:
			f.Kind, f.Detail = EventInserted, "a row was added at the position of another event"
		default:
			altered = append(altered, row)
		}
		taken[row.Index()] = true
		r.findings.add(f.at(b.First + int64(row.Index())))
	}
	var missing []int64
	for i := range b.leaves {
		if !taken[i] {
			missing = append(missing, b.First+int64(i))
		}
	}
	var orphans []event.ID
	sure := false // the events that are missing are those of the orphans
	if log == ledger.Events && !r.blindKeys.Load() {
		orphans, sure = r.compareKeys(b, fit, altered)
	}
	r.nameMissing(log, b, missing, orphans, sure && len(missing) == len(orphans))
}

// compareKeys compares the rows that fit with their keys. It returns the keys that no row of the batch has, sorted, and
// whether all altered rows have a key, so that none of the orphans may be theirs.
func (r *run) compareKeys(b *examined, fit, altered []*audit.Row) (orphans []event.ID, sure bool) {
	keys := make(map[event.ID]*audit.Key, len(b.keys))
	for i := range b.keys {
		k := &b.keys[i]
		if keys[k.EventID] != nil {
			r.findings.add(eventFinding(KeyWithoutEvent, k.EventID, "event_keys has it more than once"))
		}
		keys[k.EventID] = k
	}
	for _, row := range fit {
		position := b.First + int64(row.Index())
		_, unread := r.unreadKeys.Load(row.EventID)
		switch key := keys[row.EventID]; {
		case unread || key != nil && key.Timestamp.Equal(row.Timestamp) && bytes.Equal(key.Digest, row.Digest[:]):
		case key == nil:
			r.findings.add(eventFinding(KeyMissing, row.EventID, "event_keys does not have it in its batch, so it could be stored a second time").at(position))
		case position < r.extents[ledger.Events].proven:
			r.findings.add(eventFinding(KeyAltered, row.EventID, "the event is what was signed; its row in event_keys is not").at(position))
		default:
			r.findings.add(eventFinding(EventAltered, row.EventID, "it differs from its key in event_keys, though its leaf hash fits: event and leaf were changed together, or the key was").at(position))
		}
	}
	sure = !slices.ContainsFunc(altered, func(row *audit.Row) bool {
		_, unread := r.unreadKeys.Load(row.EventID)
		return keys[row.EventID] == nil && !unread
	})
	for i := range b.rows {
		delete(keys, b.rows[i].EventID)
	}
	return slices.SortedFunc(maps.Keys(keys), func(x, y event.ID) int { return bytes.Compare(x[:], y[:]) }), sure
}

// nameMissing adds a finding for each position of a batch without a row, and for each key without one. If the
// missing events are those of the keys, each finding names one of them.
func (r *run) nameMissing(log ledger.Log, b *examined, missing []int64, orphans []event.ID, same bool) {
	detail := "its row is gone"
	if r.blind.Load() {
		detail += ", or is among those that could not be examined"
	}
	if same && len(missing) > 1 {
		detail += fmt.Sprintf("; it is one of %d that are missing at these positions", len(missing))
	}
	for i, position := range missing {
		f := Finding{Kind: EventRemoved, Log: log, Detail: detail}.at(position)
		if same {
			f = f.within(missing[0], missing[len(missing)-1]+1)
			f.EventID = orphans[i].String()
		}
		r.findings.add(f)
	}
	for _, id := range orphans {
		if !same {
			r.findings.add(eventFinding(KeyWithoutEvent, id, "event_keys has it, but no row of its batch is this event: the event was removed, its id was changed, or the key was added").within(b.First, b.End()))
		}
	}
}

// reportBlocks reports blocks that do not fit, without naming events.
func (r *run) reportBlocks(log ledger.Log, numbers []int64) {
	for _, number := range numbers {
		block := r.blocks[log].list[number]
		kind, n := EventAltered, block.leaves.count-block.rows.count
		switch {
		case n > 0:
			kind = EventRemoved
		case n < 0:
			kind, n = EventInserted, -n
		case block.leaves == block.rows:
			kind = KeyAltered
		}
		r.findings.add(Finding{Kind: kind, Log: log, Detail: "in batches that begin at these positions, rows, leaf hashes and keys do not agree; too many differ for each to be named"}.within(number<<blockBits, (number+1)<<blockBits))
		r.findings.count(kind, n-1)
	}
}
