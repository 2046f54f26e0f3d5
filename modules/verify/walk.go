package verify

import (
	"context"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// head is how far one log is what was signed.
type head struct {
	size        int64 // up to which positions follow on each other
	total       int64 // behind the last batch
	checkpoints int64
	trusted     int64 // of them, and of those from outside: signed by a given key
	proven      int64 // the largest size whose signed root the leaves give

	wrong      []unfit // trusted checkpoints that do not fit, in order; wrongKept at most
	wrongCount int64
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

	due     []trusted // checkpoints to compare, in order
	last    int64     // size of the last one read
	all     bool      // there are no more
	outside []outside // in order of size; those not due yet
}

func (r *run) walk(ctx context.Context, v *store.View, log ledger.Log, instead map[int64]ledger.Hash) (*head, error) {
	w := &walk{run: r, view: v, log: log, head: &head{}, instead: instead, last: -1, outside: r.outside[log]}
	w.tiles.walk = w
	var err error
	if w.head.total, err = w.totalSize(ctx); err != nil {
		return nil, err
	}
	for {
		end := min(w.tree.size+stepLeaves, w.head.total)
		if err := w.loadDue(ctx, end); err != nil {
			return nil, err
		}
		reached, err := w.step(ctx, end)
		if err != nil {
			return nil, err
		}
		if err := w.tiles.compare(ctx, false); err != nil {
			return nil, err
		}
		if reached < end || end == w.head.total {
			break
		}
	}
	w.head.size = w.tree.size
	return w.head, w.finish(ctx)
}

// totalSize walks over the batches, and reports where they do not follow on each other.
func (w *walk) totalSize(ctx context.Context) (int64, error) {
	next := int64(0)
	err := w.view.Batches(ctx, w.log, func(b store.LedgerBatch) error {
		switch {
		case b.First > next:
			w.report(Finding{Kind: LedgerGap, Detail: "no batch of the ledger has these positions: its row in ledger_batches is gone"}.within(next, b.First))
		case b.First < next:
			w.report(Finding{Kind: LedgerGap, Detail: fmt.Sprintf("batch %d claims positions that another batch has", b.Batch)}.within(b.First, b.End()))
		}
		if b.LeafBytes != b.Count*ledger.HashSize || b.Count < 1 || b.Count > store.MaxBatchEvents {
			w.report(Finding{Kind: LedgerGap, Detail: fmt.Sprintf("batch %d has %d bytes of leaf hashes for %d entries", b.Batch, b.LeafBytes, b.Count)}.within(b.First, b.End()))
		}
		next = max(next, b.End())
		return nil
	})
	return next, err
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
	return w.tree.size, err
}

// compareDue compares the present root with the checkpoints of the present size.
func (w *walk) compareDue() {
	for len(w.due) > 0 && w.due[0].size <= w.tree.size {
		c := w.due[0]
		w.due = w.due[1:]
		if c.size == w.tree.size && c.root == w.tree.root() {
			w.head.proven = max(w.head.proven, c.size)
		} else {
			w.wrong(c)
		}
	}
}

func (w *walk) wrong(c trusted) {
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
	if err := w.tiles.compare(ctx, true); err != nil {
		return err
	}
	return w.tiles.beyond(ctx)
}
