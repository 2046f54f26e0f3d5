package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strings"
	"sync"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// trusted is a checkpoint to compare with the log. A given key has signed it, unless unknown is set.
type trusted struct {
	size    int64
	root    ledger.Hash
	source  string // "" if it is in the database
	unknown string // the keys that signed it, if none of them was given
}

// outside is a trusted checkpoint from outside the database.
type outside struct {
	trusted
	previous int64 // see Outside
}

// checkpointsAtATime is how many checkpoints are read and verified together.
const checkpointsAtATime = 1000

// openOutside verifies the checkpoints from outside the database.
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

// loadDue reads checkpoints until all up to a size are due.
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
		w.extent.trusted++
	}
	slices.SortStableFunc(w.due, func(a, b trusted) int { return cmp.Compare(a.size, b.size) })
	return nil
}

// nextCheckpoints reads and verifies the next checkpoints. It returns those to compare, and reports the others.
func (w *walk) nextCheckpoints(ctx context.Context) ([]trusted, error) {
	rows, more, err := w.view.Checkpoints(ctx, w.log, w.last, checkpointsAtATime)
	if err != nil {
		w.all, w.extent.unreadable = true, true
		return nil, w.unread(err, Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("checkpoints of sizes above %d can't be read, so none of them was compared", w.last)})
	}
	if w.all = !more; len(rows) > 0 {
		w.last = rows[len(rows)-1].Size
	}
	w.extent.checkpoints += int64(len(rows))
	list, faults := w.run.openAll(w.log, rows)
	found := make([]trusted, 0, len(list))
	for i, t := range list {
		var other *otherLedgerError
		switch {
		case errors.As(faults[i], &other):
			w.extent.sum(group{otherLedger, other.base}, t.size)
		case faults[i] != nil:
			w.report(Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("the checkpoint of size %d can't be trusted: %v", t.size, faults[i])})
		default:
			if t.unknown == "" {
				w.extent.trusted++
			}
			found = append(found, t)
		}
	}
	return found, nil
}

// openAll opens checkpoints on all cores. Verifying a signature takes as long as hashing a hundred events.
func (r *run) openAll(log ledger.Log, rows []store.Checkpoint) ([]trusted, []error) {
	list, faults := make([]trusted, len(rows)), make([]error, len(rows))
	var group sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(rows))
	for n := range workers {
		group.Go(func() {
			for i := n; i < len(rows); i += workers {
				list[i], faults[i] = r.open(log, &rows[i])
			}
		})
	}
	group.Wait()
	return list, faults
}

// open verifies a checkpoint's signatures and that its row says what was signed. If only unknown keys have
// signed it, its root is still to be compared.
func (r *run) open(log ledger.Log, c *store.Checkpoint) (t trusted, err error) {
	t = trusted{size: c.Size, root: c.Root}
	signed, err := ledger.OpenCheckpoint([]byte(c.Note), r.opts.Keys)
	var bad *ledger.CheckpointError
	if errors.As(err, &bad) && bad.Kind == ledger.UnknownKey {
		signed.Checkpoint, err = ledger.ParseCheckpoint(c.Note[:strings.LastIndex(c.Note, "\n\n")+1])
		if err != nil {
			return t, fmt.Errorf("the checkpoint %w", err)
		}
		own := slices.DeleteFunc(slices.Sorted(slices.Values(bad.Keys)), func(id string) bool { return !strings.HasPrefix(id, signed.Origin+"+") })
		if t.unknown = strings.Join(own, " and "); t.unknown == "" { // only witnesses have signed it
			return t, bad
		}
	}
	if err != nil {
		return t, err
	}
	if err := r.checkOrigin(log, signed.Origin); err != nil {
		return t, err
	}
	if signed.Size != c.Size || signed.Root != c.Root {
		return t, errors.New("its row says another size or root than what was signed")
	}
	return t, nil
}

// Some checkpoints are reported together, one finding or notice for each group. Those of an unknown key are
// a group: keys are rotated, and an auditor may have only the new one. If their roots are the log's, and a
// trusted checkpoint of a larger size covers them, history up to there is proven without them, and a notice
// is enough. Those of another ledger are a group too: a database that was exchanged has no others.
type group struct {
	why  groupKind
	name string // the keys, or the other ledger
}

type groupKind int

const (
	otherLedger groupKind = iota
	wrongRoot             // signed by unknown keys, for another root than the log's
	unknownKey            // signed by unknown keys, for the log's root
)

// sizes sums up the checkpoints of a group.
type sizes struct{ count, first, last int64 }

// groupsKept bounds how many groups are told apart.
const groupsKept = 50

// sum counts a checkpoint in a group. Sizes grow from call to call.
func (e *extent) sum(g group, size int64) {
	if e.groups[g] == nil && len(e.groups) >= groupsKept {
		g.name = "others"
	}
	if e.groups[g] == nil {
		e.groups[g] = &sizes{first: size}
	}
	e.groups[g].count++
	e.groups[g].last = size
}

func (s *sizes) text(said string) string {
	if s.count == 1 {
		return fmt.Sprintf("one checkpoint, of size %d, is %s", s.last, said)
	}
	return fmt.Sprintf("%d checkpoints of sizes from %d to %d are %s", s.count, s.first, s.last, said)
}

// reportGroups reports each group of checkpoints.
func (r *run) reportGroups(log ledger.Log, e *extent) {
	untrusted := func(detail string) { r.findings.add(Finding{Kind: CheckpointUntrusted, Log: log, Detail: detail}) }
	for _, g := range slices.SortedFunc(maps.Keys(e.groups), func(a, b group) int {
		return cmp.Or(cmp.Compare(a.why, b.why), strings.Compare(a.name, b.name))
	}) {
		sum := e.groups[g]
		by := sum.text(fmt.Sprintf("signed by %s only, which was not given", g.name))
		switch {
		case g.why == otherLedger:
			untrusted(sum.text(fmt.Sprintf("signed for another ledger: %s, and not %s. Either this is another ledger's database, or they were put into this one", g.name, r.origin)))
		case g.why == wrongRoot:
			untrusted(by + ", and the root that each names is not this log's: it or the log was changed. Given with --key, the key shows which")
		case sum.last <= e.proven:
			r.notice(Notice{Log: log, Detail: by + ". The root that each names is this log's, and a later checkpoint by a given key covers it. Give the key with --key to have the signatures checked too"})
		case e.done: // else a checkpoint that covers them may not have been reached
			untrusted(by + fmt.Sprintf(": give it with --key. The root that each names is this log's, but no signature by a given key covers what is above %d entries", e.proven))
		}
	}
}
