package verify

import (
	"cmp"
	"context"
	"slices"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// suspect is a row that does not fit.
type suspect struct {
	row      store.EventRow
	position int64 // -1 where the ledger has no such place
	again    bool  // a copy of a row that fits
}

func (s *suspect) unreadable() bool { return s.row.Corrupt != nil }

// suspects are rows that do not fit: those of positions that the ledger has apart from those of none, of
// which anybody can make as many as they like to hide the others among them.
type suspects struct {
	placed, placeless suspectList
}

type suspectList struct {
	kept  []suspect // suspectsKept at most
	count int64     // how many there are
	told  int       // how many of kept have become findings
}

// suspectsKept bounds how many of a list are remembered; all are counted.
const suspectsKept = 20_000

func (l *suspectList) add(s suspect) {
	if l.count++; len(l.kept) < suspectsKept {
		l.kept = append(l.kept, s)
	}
}

func (l *suspectList) sort() { slices.SortFunc(l.kept[l.told:], byPosition) }

// lists are the two with the kind of finding that rows are which are not looked at closely.
func (s *suspects) lists() map[Kind]*suspectList {
	return map[Kind]*suspectList{EventAltered: &s.placed, EventInserted: &s.placeless}
}

func (r *run) suspect(list []suspect) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range list {
		if s.position < 0 {
			r.suspects.placeless.add(s)
		} else {
			r.suspects.placed.add(s)
		}
	}
}

// scanRows hashes the rows of some pages and compares each with its leaf.
func (r *run) scanRows(ctx context.Context, v *store.View, pages store.Pages) error {
	var rows []store.EventRow
	err := r.byPages(ctx, v, pages, EventUnreadable, func(p store.Pages) error {
		before := len(rows)
		err := v.Rows(ctx, p, func(row *store.EventRow) error {
			rows = append(rows, *row)
			return nil
		})
		if err != nil {
			rows = rows[:before]
		}
		return err
	}, func(line store.Line, why error) { rows = append(rows, line.Named(why)) })
	if err != nil {
		return err
	}
	slices.SortFunc(rows, func(a, b store.EventRow) int { return cmp.Compare(a.ID, b.ID) })
	for len(rows) > 0 {
		group, slices := nextGroup(rows)
		if err := r.compare(ctx, v, pages, rows[:group], slices); err != nil {
			return err
		}
		r.progress.rows.Add(int64(group))
		rows = rows[group:]
	}
	return nil
}

// groupLeaves bounds how many leaves are read at a time: 8 MiB.
const groupLeaves = 1 << 18

// nextGroup takes rows, sorted by id, whose batches' leaves are read in one go.
func nextGroup(rows []store.EventRow) (n int, slices []store.BatchSlice) {
	leaves := 0
	for n < len(rows) {
		end, batch := n+1, rows[n].Batch()
		for end < len(rows) && rows[end].Batch() == batch {
			end++
		}
		slice := store.BatchSlice{Batch: batch, Low: rows[n].Index(), High: rows[end-1].Index()}
		if leaves += slice.High - slice.Low + 1; n > 0 && leaves > groupLeaves {
			break
		}
		slices = append(slices, slice)
		n = end
	}
	return n, slices
}

// compare compares rows of some pages, sorted by id, with the leaves of their batches.
func (r *run) compare(ctx context.Context, v *store.View, pages store.Pages, rows []store.EventRow, wanted []store.BatchSlice) error {
	low := make(map[int64]int, len(wanted))
	for _, w := range wanted {
		low[w.Batch] = w.Low
	}
	var (
		suspects []suspect
		known    = make(map[int64]bool, len(wanted))
		places   = make([]placed, 0, len(rows))
		of       = make([]int, 0, len(rows)) // of places[i]: which row it is
	)
	batches, err := r.batchLeaves(ctx, v, wanted)
	if err != nil {
		return err
	}
	for _, b := range batches {
		known[b.Batch] = true
		at, _ := slices.BinarySearchFunc(rows, b.Batch, func(row store.EventRow, batch int64) int { return cmp.Compare(row.Batch(), batch) })
		for ; at < len(rows) && rows[at].Batch() == b.Batch; at++ {
			row := &rows[at]
			leaf := row.Index() - low[b.Batch]
			if !b.Placed() || int64(row.Index()) >= b.Count || leaf >= len(b.Leaves) && !b.unread {
				suspects = append(suspects, suspect{row: *row, position: -1})
				continue
			}
			p := placed{
				position: b.First + int64(row.Index()), first: b.First,
				sum:  r.blocks.sum(row.EventID, b.Batch, row.Timestamp, row.Digest[:]),
				fits: row.Corrupt == nil && (b.unread || row.Leaf == b.Leaves[leaf]),
			}
			p.leaf = r.blocks.leafSum(p.position, row.Leaf)
			places, of = append(places, p), append(of, at)
			switch {
			case !p.fits:
				suspects = append(suspects, suspect{row: *row, position: p.position})
			case !pages.Holds(row.Timestamp):
				r.findings.add(eventFinding(EventMoved, row.EventID.String(), "its row is as it was stored at this position, but stands in "+
					pages.Table()+", a partition of other times, where nothing that asks for its own finds it").at(p.position))
			}
		}
	}
	for i := range rows {
		if !known[rows[i].Batch()] {
			suspects = append(suspects, suspect{row: rows[i], position: -1})
		}
	}
	for _, i := range r.blocks.addRows(places) {
		suspects = append(suspects, suspect{row: rows[of[i]], position: places[i].position, again: true})
	}
	if len(suspects) > 0 {
		r.suspect(suspects)
	}
	return nil
}

// counted is a key and its part of the sum over its place.
type counted struct {
	store.Key
	sum uint64
}

// scanKeys counts the keys of some pages by the place of their batch.
func (r *run) scanKeys(ctx context.Context, v *store.View, pages store.Pages) error {
	var keys []counted
	err := r.byPages(ctx, v, pages, KeyAltered, func(p store.Pages) error {
		before := len(keys)
		err := v.Keys(ctx, p, func(k *store.Key) error {
			keys = append(keys, counted{*k, r.blocks.sum(k.EventID, k.Batch, k.Timestamp, k.Digest)})
			return nil
		})
		if err != nil {
			keys = keys[:before]
		}
		return err
	}, func(line store.Line, why error) {
		r.findings.add(eventFinding(KeyAltered, line.EventID.String(), "its row in event_keys can't be read: "+why.Error()))
	})
	if err != nil {
		return err
	}
	r.countLost(keys)
	var wanted []store.BatchSlice
	seen := map[int64]bool{}
	for i := range keys {
		if !seen[keys[i].Batch] {
			seen[keys[i].Batch] = true
			wanted = append(wanted, store.BatchSlice{Batch: keys[i].Batch, Low: 0, High: -1})
		}
	}
	batches, err := r.batchLeaves(ctx, v, wanted)
	if err != nil {
		return err
	}
	placed := make(map[int64]store.LedgerBatch, len(batches))
	for _, b := range batches {
		placed[b.Batch] = b.LedgerBatch
	}
	r.countKeys(keys, placed)
	return nil
}

func (r *run) countKeys(keys []counted, batches map[int64]store.LedgerBatch) {
	places := make([]placed, 0, len(keys))
	for i := range keys {
		switch b, ok := batches[keys[i].Batch]; {
		case !ok:
			r.findings.add(eventFinding(KeyWithoutEvent, keys[i].EventID.String(), "event_keys names a batch for it that the ledger does not have"))
		case b.Placed():
			places = append(places, placed{position: -1, first: b.First, sum: keys[i].sum})
		}
	}
	r.blocks.addKeys(places)
}

// countLost counts the keys of events that lie in no partition.
func (r *run) countLost(keys []counted) {
	lost := make([]int64, len(r.uncovered))
	for i := range keys {
		for j, gap := range r.uncovered {
			if gap.Holds(keys[i].Timestamp) {
				lost[j]++
			}
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, n := range lost {
		r.lostTimes[i] += n
	}
}

// batchLeavesOf reads a whole batch; ok is false where the ledger does not have it.
func (r *run) batchLeavesOf(ctx context.Context, v *store.View, batch int64) (found store.BatchLeaves, ok bool, err error) {
	list, err := r.batchLeaves(ctx, v, []store.BatchSlice{{Batch: batch, Low: 0, High: store.MaxBatchEvents - 1}})
	if err != nil || len(list) == 0 {
		return store.BatchLeaves{}, false, err
	}
	return list[0].BatchLeaves, true, nil
}

// indexOf finds a leaf in a batch.
func indexOf(b *store.BatchLeaves, leaf ledger.Hash) (position int64, ok bool) {
	i := slices.Index(b.Leaves, leaf)
	return b.First + int64(i), i >= 0
}
