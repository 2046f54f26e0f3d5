package verify

import (
	"context"
	"errors"
	"fmt"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// head is how far one log is what was signed.
type head struct {
	done        bool  // the whole log was looked at
	size        int64 // up to which positions follow on each other
	total       int64 // behind the last batch
	checkpoints int64
	trusted     int64 // of them, and of those from outside: signed by a given key
	proven      int64 // the largest size whose signed root the leaves give

	unsignedSince time.Time // when the oldest batch behind proven was recorded; zero where there is none
	unsignedUntil time.Time // the newest of them
	unknown       map[string]*unknownKey
	foreign       map[string]*unknownSizes // checkpoints of other ledgers, by their base origin

	wrong      []unfit // trusted checkpoints that do not fit, in order; wrongKept at most
	wrongCount int64
}

func newHead() *head {
	return &head{unknown: map[string]*unknownKey{}, foreign: map[string]*unknownSizes{}}
}

// unfit is a trusted checkpoint that does not fit.
type unfit struct {
	size   int64
	after  int64 // the largest size below it that fits
	source string
}

const wrongKept = 1000

// stepLeaves is how many leaves are read at a time: 2 MiB.
const stepLeaves = 1 << 16

// walk is one pass over the leaves of a log, from the left: at each signed size it compares the root, at
// each whole tile the tile. Memory does not grow with the log or with the number of checkpoints.
type walk struct {
	run   *run
	view  *store.View
	log   ledger.Log
	tree  tree
	head  *head
	tiles tiles
	// instead are leaves by position that are tried in place of the stored ones; nil for a first pass,
	// which alone reports findings.
	instead map[int64]ledger.Hash

	due        []trusted // checkpoints to compare, in order
	last       int64     // size of the last one read
	page       int       // how many are read together
	all        bool      // there are no more
	unreadable bool      // some could not be read
	outside    []outside // in order of size; those not due yet
}

// walk walks over a log, and keeps in h how far it is what was signed.
func (r *run) walk(ctx context.Context, v *store.View, log ledger.Log, h *head, instead map[int64]ledger.Hash) error {
	w := &walk{run: r, view: v, log: log, head: h, instead: instead, last: -1, page: checkpointsAtATime, outside: r.outside[log]}
	w.tiles.walk = w
	if err := w.measure(ctx); err != nil {
		return err
	}
	for {
		end := min(w.tree.size+stepLeaves, h.total)
		if err := w.loadDue(ctx, end); err != nil {
			return err
		}
		reached, err := w.step(ctx, end)
		if err != nil {
			return err
		}
		if err := w.tiles.compare(ctx, false); err != nil {
			return err
		}
		if reached < end || end == h.total {
			break
		}
	}
	h.size = w.tree.size
	if err := w.finish(ctx); err != nil {
		return err
	}
	h.done = true
	return nil
}

// measure walks over the batches for the log's size, and reports where they do not follow on each other.
func (w *walk) measure(ctx context.Context) error {
	next := int64(0)
	err := w.view.Batches(ctx, w.log, func(b store.LedgerBatch) error {
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
		next = max(next, b.End())
		w.head.total = next
		return nil
	})
	return w.unread(err, Finding{Kind: LedgerGap, Detail: "the batches from this position on can't be read"}.at(next))
}

// unread reports what can't be read, in a first pass.
func (w *walk) unread(err error, f Finding) error {
	var bad *store.UnreadableError
	if w.instead != nil && errors.As(err, &bad) {
		return nil
	}
	f.Log = w.log
	return w.run.unread(err, f)
}

func (w *walk) report(f Finding) {
	if w.instead == nil {
		f.Log = w.log
		w.run.findings.add(f)
	}
}

// step adds the leaves up to end, and compares the roots that are due. It answers how far it came.
func (w *walk) step(ctx context.Context, end int64) (reached int64, err error) {
	w.compareDue()
	gap := false
	err = w.view.Leaves(ctx, w.log, w.tree.size, end, func(position int64, leaves []ledger.Hash) error {
		if gap = gap || position != w.tree.size; gap {
			return nil
		}
		if w.instead == nil && w.log == ledger.Events {
			w.run.blocks.addLeaves(position, leaves)
		}
		for i := range leaves {
			leaf := leaves[i]
			if other, ok := w.instead[position+int64(i)]; ok {
				leaf = other
			}
			w.tree.add(leaf, w.tiles.made)
			w.compareDue()
		}
		return nil
	})
	return w.tree.size, w.unread(err, Finding{Kind: LedgerGap, Detail: "the leaf hashes from this position on can't be read"}.at(w.tree.size))
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
	w.compareDue()
	for _, c := range w.due { // behind a gap
		w.wrong(c)
	}
	w.due = nil
	for {
		list, err := w.nextCheckpoints(ctx)
		if err != nil {
			return err
		}
		for _, c := range list {
			w.wrong(c)
		}
		if w.all {
			break
		}
	}
	for _, c := range w.outside {
		w.head.trusted++
		w.wrong(c.trusted)
	}
	if w.instead != nil {
		return nil
	}
	w.lost()
	if err := w.tiles.compare(ctx, true); err != nil {
		return err
	}
	w.tiles.lacking()
	if err := w.tiles.beyond(ctx); err != nil {
		return err
	}
	return w.findUnsigned(ctx)
}

// lost reports that the last checkpoints are gone, as far as somebody outside remembers that they were kept,
// and all that are there could be read. That one in the middle is gone nobody can tell, and nothing hangs on it.
func (w *walk) lost() {
	if w.unreadable {
		return
	}
	for _, o := range w.run.outside[w.log] {
		if last := max(w.last, 0); last < o.previous && o.previous <= w.head.total {
			w.report(Finding{Kind: CheckpointGone, Detail: fmt.Sprintf("%s remembers checkpoints of %d and %d entries, but the database keeps none above %d: they were deleted%s",
				o.source, o.previous, o.size, last, w.run.orBehind())})
		}
	}
}
