package verify

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// A finding has the event id that the row has. A removed event has no row, so its id comes from event_keys:
// the keys of its batch that have no row, if they are as many as the missing positions.

// name adds a finding for each row that does not fit, each position without a row and each key without one.
func (c *closer) name() {
	rows := append(c.misfits, c.run.loose...)
	slices.SortFunc(rows, func(a, b audit.EventRow) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), slices.Compare(a.EventID[:], b.EventID[:]))
	})
	free := map[ledger.Hash]int64{} // positions whose leaf no row gives, by leaf
	for position, leaf := range c.leaves {
		if !c.done[position] {
			free[leaf] = position
		}
	}
	altered := map[int64]bool{}   // positions
	strangers := map[int64]bool{} // batches with an altered row whose event id is none of the batch's
	for i := range rows {
		f := c.nameRow(&rows[i], free)
		c.run.findings.add(f)
		if batch := rows[i].Batch(); f.Kind == EventAltered {
			altered[*f.Position] = true
			strangers[batch] = strangers[batch] || !c.run.unreadKeys[rows[i].EventID] && c.keyOf(&rows[i], batch) == nil
		}
	}
	c.run.countLoose()
	orphans := c.orphans()
	for _, b := range slices.SortedFunc(maps.Values(c.batches), func(a, b audit.LedgerBatch) int { return cmp.Compare(a.First, b.First) }) {
		var missing []int64
		for position := b.First; position < b.End(); position++ {
			if _, compared := c.leaves[position]; compared && !c.done[position] && !altered[position] {
				missing = append(missing, position)
			}
		}
		c.nameMissing(b, missing, orphans[b.Batch], len(missing) == len(orphans[b.Batch]) && !strangers[b.Batch])
	}
}

// nameRow returns the finding of a row that does not fit.
func (c *closer) nameRow(row *audit.EventRow, free map[ledger.Hash]int64) Finding {
	b, known := c.batches[row.Batch()]
	position, placed := positionOf(b, row, known)
	id := row.EventID.String()
	from, moved := free[row.Leaf]
	switch {
	case row.Corrupt != nil:
		f := eventFinding(EventUnreadable, id, "its row holds what no event does: "+row.Corrupt.Error())
		if placed {
			c.done[position] = true
			f = f.at(position)
		}
		return f
	case moved:
		delete(free, row.Leaf)
		c.done[from] = true
		if key := c.keys[row.EventID]; key != nil {
			key.met = true
		}
		to := "where the ledger has no position"
		if placed {
			to = fmt.Sprintf("at position %d", position)
		}
		return eventFinding(EventMoved, id, "its row is as it was stored at this position, but is now "+to).at(from)
	case !placed:
		return inserted(row)
	case c.done[position]:
		return eventFinding(EventInserted, id, "a row was added at the position of another event").at(position)
	case position >= c.run.extents[ledger.Events].proven: // only a signed leaf is known to be the right one
		return eventFinding(EventAltered, id, "its row and its leaf hash in ledger_batches do not fit each other: one of them was changed").at(position)
	}
	return eventFinding(EventAltered, id, "its row is not what was stored").at(position)
}

// inserted returns the finding of a row that the ledger has no position for.
func inserted(row *audit.EventRow) Finding {
	return eventFinding(EventInserted, row.EventID.String(), "the ledger has no position for its row")
}

// orphans returns the event ids of keys that have no row, sorted, by batch.
func (c *closer) orphans() map[int64][]event.ID {
	orphans := map[int64][]event.ID{}
	for id, key := range c.keys {
		if !key.met {
			orphans[key.Batch] = append(orphans[key.Batch], id)
		}
	}
	for _, list := range orphans {
		slices.SortFunc(list, func(a, b event.ID) int { return slices.Compare(a[:], b[:]) })
	}
	return orphans
}

// nameMissing adds a finding for each position of a batch without a row. If the missing events are exactly
// those of the orphaned keys, each finding names one of them. Otherwise each key gets a finding of its own.
func (c *closer) nameMissing(b audit.LedgerBatch, missing []int64, orphans []event.ID, same bool) {
	detail := "its row is gone"
	if c.run.blind.Load() {
		detail += ", or is among those that could not be examined"
	}
	for i, position := range missing {
		f := eventFinding(EventRemoved, "", detail).at(position)
		if same {
			f = f.within(missing[0], missing[len(missing)-1]+1)
			f.EventID = orphans[i].String()
		}
		if same && len(missing) > 1 {
			f.Detail += fmt.Sprintf("; it is one of %d that are missing at these positions", len(missing))
		}
		c.run.findings.add(f)
	}
	for _, id := range orphans {
		if !same {
			c.run.findings.add(eventFinding(KeyWithoutEvent, id.String(), "event_keys has it, but no row of its batch is this event: the event was removed, its id was changed, or the key was added").within(b.First, b.End()))
		}
	}
}
