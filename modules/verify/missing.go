package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// missing is the positions that have no row, by batch.
type missing struct {
	count   int64
	batches []missingBatch // in order of positions; missingKept positions at most
	kept    int
	lacking map[int64]int // of batches: how many positions have no row
}

// missingBatch is a batch that rows of are gone.
type missingBatch struct {
	store.LedgerBatch
	positions []int64
}

// missingKept bounds how many positions are remembered; all are counted.
const missingKept = 100_000

// findMissing walks over the batches and looks for positions without a row.
func (r *run) findMissing(ctx context.Context, v *store.View) (*missing, error) {
	m := &missing{lacking: map[int64]int{}}
	err := v.Batches(ctx, ledger.Events, func(b store.LedgerBatch) error {
		if !b.Placed() {
			return nil // reported as a gap
		}
		var positions []int64
		r.blocks.missing(b.First, b.End(), func(position int64) {
			if m.count++; m.kept < missingKept {
				positions = append(positions, position)
				m.kept++
			}
		})
		if len(positions) > 0 {
			m.batches = append(m.batches, missingBatch{b, positions})
			m.lacking[b.Batch] += len(positions)
		}
		return nil
	})
	return m, r.unread(err, Finding{Kind: LedgerGap, Log: ledger.Events, Detail: "the batches can't be read, so that rows may be missing that are not named"})
}

// found takes a position out whose event stands elsewhere.
func (m *missing) found(position int64) {
	for i := range m.batches {
		b := &m.batches[i]
		if position < b.First || position >= b.End() {
			continue
		}
		for j, p := range b.positions {
			if p == position {
				b.positions = append(b.positions[:j], b.positions[j+1:]...)
				m.lacking[b.Batch]--
				m.count--
				m.kept--
				return
			}
		}
	}
}

// missing reports the events whose rows are gone: by their ids, where event_keys still has them.
func (x *explainer) missing() {
	m := x.gone
	for i := range m.batches {
		x.missingOf(&m.batches[i])
	}
	x.run.findings.count(EventRemoved, m.count-int64(m.kept))
}

// gonePhrase does not claim that a row is gone where not all rows could be looked at.
func (x *explainer) gonePhrase(row string) string {
	if x.run.blind.Load() {
		return row + " is gone, or among those that could not be looked at"
	}
	return row + " is gone"
}

// missingOf names the missing events of a batch by its keys that have no row, where both are as many and no row
// of the batch may be one of these events under another id.
func (x *explainer) missingOf(b *missingBatch) {
	orphans := x.keys.orphans[b.Batch]
	if len(b.positions) == 0 || len(orphans) != len(b.positions) || x.mayHide(b.Batch, 0) {
		why := x.gonePhrase("the row at this position")
		if len(orphans) == 0 && x.keys.whole(&b.LedgerBatch) {
			why += "; no key of its batch is without a row, so that nothing tells its event id"
		}
		for _, p := range b.positions {
			x.run.findings.add(eventFinding(EventRemoved, "", why).at(p))
		}
		return
	}
	first, end := b.positions[0], b.positions[len(b.positions)-1]+1
	for _, k := range orphans {
		detail := x.gonePhrase("its row")
		if len(b.positions) > 1 {
			detail += fmt.Sprintf("; it is one of %d that are missing at these positions", len(b.positions))
		}
		if slices.ContainsFunc(x.run.uncovered, func(gap store.Stretch) bool { return gap.Holds(k.Timestamp) }) {
			detail += ", with its partition"
		}
		x.run.findings.add(eventFinding(EventRemoved, k.EventID.String(), detail).within(first, end))
	}
	delete(x.keys.orphans, b.Batch)
}

// lack says whether rows of a batch may be missing.
func (m *missing) lack(batch int64) bool {
	return m.count > int64(m.kept) || m.lacking[batch] > 0
}

// lostPartitions reports times that no partition holds, though events lie in them.
func (r *run) lostPartitions(ctx context.Context, v *store.View) error {
	for i, gap := range r.uncovered {
		if r.lostTimes[i] == 0 {
			continue
		}
		detached, err := v.Detached(ctx)
		if err := passable(err); err != nil {
			return err
		}
		detail := fmt.Sprintf("no partition of events holds the time from %s to %s, in which %d events lie: it was dropped or detached",
			moment(gap.From, "the beginning"), moment(gap.To, "the end"), r.lostTimes[i])
		if len(detached) > 0 {
			detail += " (these tables are named like partitions and are none: " + strings.Join(detached, ", ") + ")"
		}
		r.findings.add(Finding{Kind: PartitionGone, Log: ledger.Events, Detail: detail})
	}
	return nil
}

func moment(t time.Time, open string) string {
	if t.IsZero() {
		return open
	}
	return event.FormatTime(t)
}
