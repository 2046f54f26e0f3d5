package verify

import (
	"cmp"
	"fmt"
	"slices"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// A row names its event itself. A position without a row is named by the key of its batch that has no row,
// where there are as many of the one as of the other; so is a row whose event id is none of its batch's keys.

// name gives each row that does not fit, and each position without a row, its finding.
func (c *closer) name() {
	rows := append(c.misfits, c.run.loose...)
	slices.SortFunc(rows, func(a, b audit.EventRow) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), slices.Compare(a.EventID[:], b.EventID[:]))
	})
	free := map[ledger.Hash]int64{} // positions whose leaf no row gives in its place
	for position, leaf := range c.leaves {
		if !c.told[position] {
			free[leaf] = position
		}
	}
	altered := map[int64][]*audit.EventRow{} // by position
	for i := range rows {
		row := &rows[i]
		if f, position := c.nameRow(row, free); position >= 0 {
			altered[position] = append(altered[position], row)
		} else {
			c.run.findings.add(f)
		}
	}
	c.run.findings.count(EventInserted, c.run.looseCount-int64(len(c.run.loose)))
	orphans := c.orphans()
	batches := slices.Collect(func(yield func(audit.LedgerBatch) bool) {
		for _, b := range c.batches {
			yield(b)
		}
	})
	slices.SortFunc(batches, func(a, b audit.LedgerBatch) int { return cmp.Compare(a.First, b.First) })
	for _, b := range batches {
		c.nameBatch(b, altered, orphans[b.Batch])
	}
}

// nameRow returns the finding of a row that does not fit, or the position of the event that it was altered
// from, which nameBatch names; else the position is -1.
func (c *closer) nameRow(row *audit.EventRow, free map[ledger.Hash]int64) (f Finding, altered int64) {
	b, known := c.batches[row.Batch()]
	position, placed := placeOf(b, row, known)
	id := row.EventID.String()
	from, moved := free[row.Leaf]
	switch {
	case row.Corrupt != nil:
		f = eventFinding(EventUnreadable, id, "its row holds what no event does: "+row.Corrupt.Error())
		if placed {
			f = f.at(position)
			c.settle(position, row.EventID)
		}
	case moved:
		delete(free, row.Leaf)
		c.settle(from, row.EventID)
		to := "where the ledger has no position"
		if placed {
			to = fmt.Sprintf("at position %d", position)
		}
		f = eventFinding(EventMoved, id, "its row is as it was stored at this position, but stands "+to+" now").at(from)
	case !placed:
		f = inserted(row)
	case c.told[position]:
		f = eventFinding(EventInserted, id, "a row was put beside the event of this position, or in its place").at(position)
	default:
		return Finding{}, position
	}
	return f, -1
}

// inserted returns the finding of a row that the ledger has no place for.
func inserted(row *audit.EventRow) Finding {
	return eventFinding(EventInserted, row.EventID.String(), "the ledger has no place for its row")
}

// settle notes that an event has its finding.
func (c *closer) settle(position int64, id event.ID) {
	c.told[position] = true
	if key := c.keys[id]; key != nil {
		key.met = true
	}
}

// orphans returns the keys that have no row, by their batches.
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

// nameBatch gives the altered rows of a batch their findings, its positions without a row, and its keys without
// one.
func (c *closer) nameBatch(b audit.LedgerBatch, altered map[int64][]*audit.EventRow, orphans []event.ID) {
	var missing []int64
	var strangers []Finding // of altered rows whose event id is none of the batch's keys
	for position := b.First; position < b.End(); position++ {
		_, compared := c.leaves[position]
		if rows := altered[position]; len(rows) == 0 && compared && !c.told[position] {
			missing = append(missing, position)
		}
		for _, row := range altered[position] {
			f := c.altered(row, position)
			if key := c.keys[row.EventID]; c.keyed[b.Batch] && !c.run.unreadKeys[row.EventID] && (key == nil || key.Batch != b.Batch) {
				strangers = append(strangers, f)
			} else {
				c.run.findings.add(f)
			}
		}
	}
	removed := c.removed(missing)
	switch {
	case len(strangers) == 1 && len(orphans) == 1 && len(missing) == 0:
		strangers[0].Detail = "its event id was changed to " + strangers[0].EventID + ": by its key in event_keys it was this event"
		strangers[0].EventID, orphans = orphans[0].String(), nil
	case len(missing) > 0 && len(orphans) == len(missing) && len(strangers) == 0:
		first, end := missing[0], missing[len(missing)-1]+1
		for i, id := range orphans {
			removed[i].EventID = id.String()
			if len(missing) > 1 {
				removed[i].Detail += fmt.Sprintf("; it is one of %d that are missing at these positions", len(missing))
			}
			removed[i] = removed[i].within(first, end)
		}
		orphans = nil
	}
	for _, f := range append(strangers, removed...) {
		c.run.findings.add(f)
	}
	for _, id := range orphans {
		c.run.findings.add(eventFinding(KeyWithoutEvent, id.String(), "event_keys has it, but no row of its batch is this event: it was removed, or its event id was changed, or the key was added"))
	}
}

// altered returns the finding of a row that does not give its leaf. Only a leaf that a signature covers is
// known to be the right one.
func (c *closer) altered(row *audit.EventRow, position int64) Finding {
	detail := "its row is not what was stored"
	if position >= c.run.heads[ledger.Events].proven {
		detail = "its row and its leaf hash in ledger_batches do not fit each other: one of them was changed"
	}
	return eventFinding(EventAltered, row.EventID.String(), detail).at(position)
}

// removed returns a finding for each position without a row.
func (c *closer) removed(missing []int64) (list []Finding) {
	detail := "its row is gone"
	if c.run.blind.Load() {
		detail += ", or among those that could not be looked at"
	}
	for _, position := range missing {
		list = append(list, eventFinding(EventRemoved, "", detail).at(position))
	}
	return list
}
