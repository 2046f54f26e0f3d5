package verify

import (
	"context"
	"fmt"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// head is how far one log is what was signed.
type head struct {
	done        bool  // the whole log was looked at
	total       int64 // behind the last batch
	checkpoints int64
	unreadable  bool  // some checkpoints could not be read
	trusted     int64 // of them, and of those from outside: signed by a given key
	proven      int64 // the largest size whose signed root the leaves give

	unsignedSince time.Time // when the oldest batch behind proven was recorded; zero where there is none
	unsignedUntil time.Time // the newest of them
	aside         map[group]*sizes

	wrong      []unfit // trusted checkpoints that do not fit, in order; wrongKept at most
	wrongCount int64
}

func newHead() *head { return &head{aside: map[group]*sizes{}} }

// unfit is a trusted checkpoint that does not fit.
type unfit struct {
	size   int64
	after  int64 // the largest size below it that fits
	source string
}

const wrongKept = 1000

// stretch is positions from one up to another, without it.
type stretch struct{ from, end int64 }

// stepLeaves is how many leaves are read at a time: 2 MiB.
const stepLeaves = 1 << 16

// walk is one pass over the leaves of a log, from the left: at each signed size it compares the root, at
// each whole tile the tile. Memory does not grow with the log or with the number of checkpoints.
type walk struct {
	run   *run
	view  *audit.View
	log   ledger.Log
	tree  tree
	head  *head
	tiles tiles

	stretches []stretch // of positions that follow on each other: one, in an untouched log

	due     []trusted // checkpoints to compare, in order
	last    int64     // size of the last one read
	all     bool      // there are no more
	outside []outside // in order of size; those not due yet
}

// walk walks over a log, and keeps in h how far it is what was signed.
func (r *run) walk(ctx context.Context, v *audit.View, log ledger.Log, h *head) error {
	w := &walk{run: r, view: v, log: log, head: h, last: -1, outside: r.outside[log]}
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
	h.done = true
	return nil
}

// measure walks over the batches for the log's size, and reports where they do not follow on each other.
func (w *walk) measure(ctx context.Context) error {
	next := int64(0)
	err := w.view.Batches(ctx, w.log, func(b audit.LedgerBatch) error {
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
			w.report(Finding{Kind: LedgerGap, Detail: "no batch of the ledger has these positions: its row in ledger_batches is gone, or says something else"}.within(next, b.First))
		case b.First < next:
			w.report(Finding{Kind: LedgerGap, Detail: fmt.Sprintf("batch %d claims positions that another batch has", b.Batch)}.within(b.First, b.End()))
		}
		if n := len(w.stretches); n == 0 || b.First > w.stretches[n-1].end {
			w.stretches = append(w.stretches, stretch{b.First, b.End()})
		} else {
			w.stretches[n-1].end = max(w.stretches[n-1].end, b.End())
		}
		next = max(next, b.End())
		w.head.total = next
		return nil
	})
	return w.unread(err, Finding{Kind: LedgerGap, Detail: "the batches from this position on can't be read"}.at(next))
}

// unread reports what can't be read.
func (w *walk) unread(err error, f Finding) error {
	f.Log = w.log
	return w.run.unread(err, f)
}

func (w *walk) report(f Finding) {
	f.Log = w.log
	w.run.findings.add(f)
}

// step adds the leaves from one position up to another, without it, and compares the roots that are due.
func (w *walk) step(ctx context.Context, from, end int64) error {
	if w.tree.size == from { // else a gap lies before, and finish tells what is behind it
		if err := w.loadDue(ctx, end); err != nil {
			return err
		}
	}
	w.compareDue()
	err := w.view.Leaves(ctx, w.log, from, end, func(position int64, leaves []ledger.Hash) error {
		if w.log == ledger.Events {
			w.run.blocks.addLeaves(position, leaves)
		}
		if position != w.tree.size {
			return nil // a gap, which measure has reported
		}
		for _, leaf := range leaves {
			w.tree.add(leaf, w.tiles.made)
			w.compareDue()
		}
		return nil
	})
	if err := w.unread(err, Finding{Kind: LedgerGap, Detail: "the leaf hashes from this position on can't be read"}.at(max(from, w.tree.size))); err != nil {
		return err
	}
	return w.tiles.compare(ctx, false)
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
			w.head.noteUnknown(c, true)
		default:
			w.head.prove(c.size)
		}
	}
}

func (w *walk) wrong(c trusted) {
	if c.unknown != "" {
		w.head.noteUnknown(c, false)
		return
	}
	w.head.wrongCount++
	if len(w.head.wrong) < wrongKept {
		w.head.wrong = append(w.head.wrong, unfit{size: c.size, after: w.head.proven, source: c.source})
	}
}

// finish looks at what lies behind the end: nothing does in an untouched log.
func (w *walk) finish(ctx context.Context) error {
	if w.head.total == 0 {
		if err := w.loadDue(ctx, 0); err != nil {
			return err
		}
	}
	w.compareDue()
	for { // what is due lies behind a gap
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
		w.head.trusted++
		w.wrong(c.trusted)
	}
	w.lost()
	if err := w.tiles.finish(ctx); err != nil {
		return err
	}
	return w.findUnsigned(ctx)
}

// lost reports that the last checkpoints are gone, as far as somebody outside remembers that they were kept,
// and all that are there could be read. Nobody can tell that one in the middle is gone, and nothing hangs on it.
func (w *walk) lost() {
	if w.head.unreadable {
		return
	}
	for _, o := range w.run.outside[w.log] {
		if last := max(w.last, 0); last < o.previous && o.previous <= w.head.total {
			w.report(Finding{Kind: CheckpointGone, Detail: fmt.Sprintf("%s remembers checkpoints of %d and %d entries, but the database keeps none above %d: they were deleted",
				o.source, o.previous, o.size, last)})
		}
	}
}

// tellHead reports how a log differs from what was signed.
func (r *run) tellHead(log ledger.Log, h *head) {
	r.tellUnsigned(log, h)
	r.tellAside(log, h)
	var behind, altered int64
	for _, c := range h.wrong {
		name := "the checkpoint"
		if c.source != "" {
			name = "the checkpoint in " + c.source
		}
		switch {
		case c.size > h.total:
			if behind++; behind == 1 || c.source != "" {
				r.findings.add(Finding{Kind: LogRolledBack, Log: log, Detail: fmt.Sprintf(
					"%s signed %d entries, the log has %d: the last ones were deleted, or the database was put back to an earlier state", name, c.size, h.total)}.within(h.total, c.size))
			}
		case c.size < h.proven:
			r.findings.add(Finding{Kind: CheckpointForked, Log: log, Detail: fmt.Sprintf(
				"%s of size %d was signed for another history, though one of size %d fits this one: the signing key signed two histories", name, c.size, h.proven)})
		default:
			if altered++; altered == 1 || c.source != "" {
				r.findings.add(Finding{Kind: LogAltered, Log: log, Detail: fmt.Sprintf(
					"%s signed at size %d is not the log as it stands: what lies at these positions was changed after it was signed", name, c.size)}.within(c.after, c.size))
			}
		}
	}
}
