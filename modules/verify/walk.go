package verify

import (
	"context"
	"fmt"
	"math"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// stretch is the positions from, from+1, …, end-1.
type stretch struct{ from, end int64 }

// stepLeaves is how many leaves are read at a time: 2 MiB.
const stepLeaves = 1 << 16

// walk is one pass over the leaves of a log, in order. It compares the root at each signed size, and each
// whole tile. Its memory does not grow with the log or with the number of checkpoints.
type walk struct {
	run    *run
	view   *audit.View
	log    ledger.Log
	tree   tree
	extent *extent
	tiles  tiles

	stretches []stretch // runs of consecutive positions: one, in an untouched log

	due     []trusted // checkpoints to compare, in order
	last    int64     // size of the last checkpoint that was read
	all     bool      // all checkpoints were read
	outside []outside // checkpoints from outside that are not due yet, by size
}

// walk reads a log from its beginning to its end and notes in e how far it is what was signed.
func (r *run) walk(ctx context.Context, v *audit.View, e *extent) error {
	w := &walk{run: r, view: v, log: e.log, extent: e, last: -1, outside: r.outside[e.log]}
	w.tiles.walk = w
	if err := w.measure(ctx); err != nil {
		return err
	}
	for _, s := range w.stretches {
		for at := s.from; at < s.end; at += stepLeaves {
			if err := w.step(ctx, at, min(at+stepLeaves, s.end)); err != nil {
				return err
			}
		}
	}
	if err := w.finish(ctx); err != nil {
		return err
	}
	w.extent.done = true
	return nil
}

// measure reads all batches for the log's size, and reports those that do not follow on each other.
func (w *walk) measure(ctx context.Context) error {
	next := int64(0)
	err := w.view.Batches(ctx, w.log, func(b audit.LedgerBatch) error {
		if b.Placed() && b.First < 0 {
			return nil // as only a batch that waits has them: countRows reports it
		}
		w.extent.seen["ledger_batches"]++
		if fault := b.Fault(); fault != "" {
			f := Finding{Kind: LedgerGap, Detail: fault}.at(b.First)
			if b.Placed() {
				f = f.within(b.First, b.End())
			}
			w.report(f)
		}
		if !b.Placed() {
			return nil
		}
		switch {
		case b.First > next:
			w.report(Finding{Kind: LedgerGap, Detail: "no batch of the ledger has these positions: its row in ledger_batches is gone or was changed"}.within(next, b.First))
		case b.First < next:
			w.report(Finding{Kind: LedgerGap, Detail: fmt.Sprintf("batch %d claims positions that another batch has", b.Batch)}.within(b.First, b.End()))
		}
		if n := len(w.stretches); n == 0 || b.First > w.stretches[n-1].end {
			w.stretches = append(w.stretches, stretch{b.First, b.End()})
		} else {
			w.stretches[n-1].end = max(w.stretches[n-1].end, b.End())
		}
		next = max(next, b.End())
		w.extent.total = next
		return nil
	})
	if err := w.unread(err, "ledger_batches", Finding{Kind: LedgerGap, Detail: "the batches from this position on can't be read"}.at(next)); err != nil || w.log != ledger.Access {
		return err
	}
	err = w.view.Pending(ctx, func(b audit.LedgerBatch, leaves []ledger.Hash) error {
		w.extent.seen["ledger_pending"]++
		if fault := b.Fault(); fault != "" {
			w.report(Finding{Kind: LedgerGap, Detail: "waiting for positions, " + fault})
		}
		if b.Placed() {
			w.run.blocks[w.log].addLeaves(b.First, 0, leaves)
		}
		return nil
	})
	return w.unread(err, "ledger_pending", Finding{Kind: LedgerGap, Detail: "the batches that wait for positions can't be read"})
}

// unread reports what can't be read of a table. It returns any other error.
func (w *walk) unread(err error, table string, f Finding) error {
	if err != nil {
		w.missed(table)
	}
	f.Log = w.log
	return w.run.unread(err, f)
}

// missed notes that the walk may not come across all rows of a table.
func (w *walk) missed(table string) { w.extent.seen[table] = math.MinInt64 / 4 }

func (w *walk) report(f Finding) {
	f.Log = w.log
	w.run.findings.add(f)
}

// step adds the leaves at [from, end) to the tree and compares the roots that are due.
func (w *walk) step(ctx context.Context, from, end int64) error {
	if w.tree.size == from { // else there is a gap before from, and finish reports the checkpoints behind it
		if err := w.loadDue(ctx, end); err != nil {
			return err
		}
	}
	w.compareDue()
	err := w.view.Leaves(ctx, w.log, from, end, func(batch, index int64, leaves []ledger.Hash) error {
		w.run.blocks[w.log].addLeaves(batch, index, leaves)
		if batch+index != w.tree.size {
			return nil // behind a gap, which measure has reported
		}
		for _, leaf := range leaves {
			w.tree.add(leaf, w.tiles.made)
			w.compareDue()
		}
		return nil
	})
	if err := w.unread(err, "ledger_batches", Finding{Kind: LedgerGap, Detail: "the leaf hashes from this position on can't be read"}.at(max(from, w.tree.size))); err != nil {
		return err
	}
	return w.tiles.compare(ctx)
}

// compareDue compares the present root with the checkpoints of the present size.
func (w *walk) compareDue() {
	for len(w.due) > 0 && w.due[0].size <= w.tree.size {
		c := w.due[0]
		w.due = w.due[1:]
		switch fits := c.size == w.tree.size && c.root == w.tree.root(); {
		case !fits:
			w.wrong(c)
		case c.unknown != "":
			w.extent.sum(c)
		default:
			w.extent.proven = max(w.extent.proven, c.size)
		}
	}
}

// wrong notes a checkpoint that does not fit.
func (w *walk) wrong(c trusted) {
	if c.unknown != "" {
		w.report(Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("the checkpoint of size %d is signed by %s only, which was not given, and its root is not this log's: it or the log was changed. Given with --key, the key shows which", c.size, c.unknown)})
	} else if len(w.extent.wrong) < wrongKept {
		w.extent.wrong = append(w.extent.wrong, unfit{c, w.extent.proven})
	}
}

// finish handles what is left at the log's end: checkpoints of larger sizes, and incomplete tiles.
func (w *walk) finish(ctx context.Context) error {
	if err := w.loadDue(ctx, w.tree.size); err != nil {
		return err
	}
	w.compareDue()
	for { // checkpoints behind a gap, or behind the end
		for _, c := range w.due {
			w.wrong(c)
		}
		if w.due = nil; w.all {
			break
		}
		var err error
		if w.due, err = w.nextCheckpoints(ctx); err != nil {
			return err
		}
	}
	for _, c := range w.outside {
		w.extent.trusted++
		w.wrong(c.trusted)
	}
	w.reportDeleted()
	if err := w.tiles.finish(ctx); err != nil {
		return err
	}
	return w.findUnsigned(ctx)
}

// reportDeleted reports that the last checkpoints were deleted, if a checkpoint from outside shows it. A
// missing one in the middle is not noticed; the later ones prove what it proved.
func (w *walk) reportDeleted() {
	if w.extent.unreadable {
		return
	}
	for _, o := range w.run.outside[w.log] {
		if last := max(w.last, 0); last < o.previous && o.previous <= w.extent.total {
			w.report(Finding{Kind: CheckpointGone, Detail: fmt.Sprintf("%s remembers checkpoints of %d and %d entries, but the database keeps none above %d: they were deleted",
				o.source, o.previous, o.size, last)})
		}
	}
}

// findUnsigned finds out when the entries after the last signature were recorded.
func (w *walk) findUnsigned(ctx context.Context) error {
	e := w.extent
	if e.proven >= e.total {
		return nil
	}
	err := w.view.Batches(ctx, w.log, func(b audit.LedgerBatch) error {
		if !b.Placed() || b.End() <= e.proven || b.Timeless() {
			return nil
		}
		if e.unsignedSince.IsZero() || b.RecordedAt.Before(e.unsignedSince) {
			e.unsignedSince = b.RecordedAt
		}
		if b.RecordedAt.After(e.unsignedUntil) {
			e.unsignedUntil = b.RecordedAt
		}
		return nil
	})
	return passable(err) // measure has reported it
}
