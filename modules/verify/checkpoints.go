package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// trusted is a checkpoint that a given key has signed, or, where unknown names them, other keys.
type trusted struct {
	size    int64
	root    ledger.Hash
	source  string // "" for those of the database
	unknown string
}

// outside is a trusted checkpoint from outside of the database.
type outside struct {
	trusted
	previous int64 // see Outside
}

// checkpointsAtATime is how many checkpoints are read and verified together.
const checkpointsAtATime = 1000

// openOutside verifies the checkpoints that were kept outside.
func (r *run) openOutside() {
	r.outside = map[ledger.Log][]outside{}
	r.origin = r.opts.Origin
	for _, o := range r.opts.Outside {
		signed, err := ledger.OpenCheckpoint(o.Note, r.opts.Keys)
		log, known := ledger.LogOf(signed.Origin)
		base, _ := baseOf(signed.Origin)
		if err == nil && known && r.origin == "" {
			r.origin = base
		}
		switch {
		case err != nil:
			r.findings.add(Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("in %s: %v", o.Source, err)})
		case !known:
			r.findings.add(Finding{Kind: CheckpointUntrusted, Detail: "the checkpoint in " + o.Source + " is not of one of our logs"})
		case base != r.origin:
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: fmt.Sprintf("the checkpoint in %s is of another ledger: %s, and not %s", o.Source, base, r.origin)})
		default:
			r.outside[log] = append(r.outside[log], outside{trusted{size: signed.Size, root: signed.Root, source: o.Source}, o.Previous})
		}
	}
	for _, list := range r.outside {
		slices.SortFunc(list, func(a, b outside) int { return cmp.Compare(a.size, b.size) })
	}
}

// loadDue reads on until all checkpoints up to a size are due.
func (w *walk) loadDue(ctx context.Context, size int64) error {
	for !w.all && w.last < size {
		list, err := w.nextCheckpoints(ctx)
		if err != nil {
			return err
		}
		w.due = append(w.due, list...)
	}
	for len(w.outside) > 0 && w.outside[0].size <= size {
		w.due = append(w.due, w.outside[0].trusted)
		w.outside = w.outside[1:]
		w.head.trusted++
	}
	slices.SortStableFunc(w.due, func(a, b trusted) int { return cmp.Compare(a.size, b.size) })
	return nil
}

// nextCheckpoints reads and verifies the next ones, and reports those that can't be trusted.
func (w *walk) nextCheckpoints(ctx context.Context) ([]trusted, error) {
	rows, more, err := w.view.Checkpoints(ctx, w.log, w.last, checkpointsAtATime)
	if err != nil {
		w.all, w.head.unreadable = true, true
		return nil, w.unread(err, Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("checkpoints of sizes above %d can't be read, so that none of them was compared", w.last)})
	}
	if w.all = !more; len(rows) > 0 {
		w.last = rows[len(rows)-1].Size
	}
	faults := w.run.verifySignatures(w.log, rows)
	list := make([]trusted, 0, len(rows))
	for i := range rows {
		c := &rows[i]
		if faults[i] == nil {
			list = append(list, trusted{size: c.Size, root: c.Root})
			w.head.trusted++
			continue
		}
		unknown, ok, err := w.run.byUnknownKey(w.log, c, faults[i])
		if ok {
			list = append(list, unknown)
			continue
		}
		var other *otherLedgerError
		if errors.As(err, &other) {
			w.head.putAside(group{byOtherLedger, other.base}, sizes{1, c.Size, c.Size})
			continue
		}
		w.report(Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("the checkpoint of size %d can't be trusted: %v", c.Size, err)})
	}
	w.head.checkpoints += int64(len(rows))
	return list, nil
}

// verifySignatures verifies checkpoints on all cores. A signature takes as long as hashing a hundred
// events.
func (r *run) verifySignatures(log ledger.Log, rows []store.Checkpoint) []error {
	faults := make([]error, len(rows))
	var group sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(rows))
	for n := range workers {
		group.Go(func() {
			for i := n; i < len(rows); i += workers {
				faults[i] = r.judge(log, &rows[i])
			}
		})
	}
	group.Wait()
	return faults
}

var errOtherRow = errors.New("its row says another size or root than what was signed")

// judge says why a kept checkpoint is not to be believed; nil where it is.
func (r *run) judge(log ledger.Log, c *store.Checkpoint) error {
	signed, err := ledger.OpenCheckpoint([]byte(c.Note), r.opts.Keys)
	if err != nil {
		return err
	}
	if err := r.checkOrigin(log, signed.Origin); err != nil {
		return err
	}
	if signed.Size != c.Size || signed.Root != c.Root {
		return errOtherRow
	}
	return nil
}
