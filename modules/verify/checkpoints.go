package verify

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"audittrail/modules/ledger"
)

// trusted is a checkpoint to compare with the log. A given key has signed it, unless unknown is set.
type trusted struct {
	log     ledger.Log
	base    string // the ledger's name
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

// checkpointsAtATime is how many checkpoints are read and verified together. Somebody may have written notes of a
// hundred times the length.
const checkpointsAtATime = 100

// openOutside verifies the checkpoints from outside the database. If nothing else says what the ledger is called, the
// first one does.
func (r *run) openOutside() {
	r.outside = map[ledger.Log][]outside{}
	r.origin = r.opts.Origin
	for _, o := range r.opts.Outside {
		t, err := r.open(o.Note)
		if err == nil && t.unknown != "" {
			err = fmt.Errorf("it is signed by %s only, which was not given", t.unknown)
		}
		if err != nil {
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: t.log, Detail: fmt.Sprintf("the checkpoint in %s can't be trusted: %v", o.Source, err)})
			continue
		}
		r.origin, t.source = t.base, o.Source
		r.outside[t.log] = append(r.outside[t.log], outside{t, o.Previous})
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
func (w *walk) nextCheckpoints(ctx context.Context) (list []trusted, err error) {
	rows, err := w.view.Checkpoints(ctx, w.log, w.last, checkpointsAtATime)
	if err != nil {
		w.all, w.extent.unreadable = true, true
		w.missed("ledger_signatures")
		return nil, w.unread(err, "ledger_checkpoints", Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("checkpoints of sizes above %d can't be read, so none of them was compared", w.last)})
	}
	w.all = len(rows) < checkpointsAtATime
	w.extent.checkpoints += int64(len(rows))
	w.extent.seen["ledger_checkpoints"] += int64(len(rows))
	for i := range rows {
		w.last = rows[i].Size
		w.extent.seen["ledger_signatures"] += rows[i].Signatures
		t, err := w.run.open([]byte(rows[i].Note))
		switch {
		case err != nil:
		case t.log != w.log:
			err = errors.New("it is signed for another log")
		case t.size != rows[i].Size || t.root != rows[i].Root:
			err = errors.New("its row says another size or root than what was signed")
		}
		if err != nil {
			w.report(Finding{Kind: CheckpointUntrusted, Detail: fmt.Sprintf("the checkpoint of size %d can't be trusted: %v", rows[i].Size, err)})
			continue
		}
		if t.unknown == "" {
			w.extent.trusted++
		}
		list = append(list, t)
	}
	return list, nil
}

// open verifies a checkpoint's signatures, and that it is of this ledger. If only unknown keys have signed it, its root
// is still to be compared.
func (r *run) open(note []byte) (t trusted, err error) {
	signed, err := ledger.OpenCheckpoint(note, r.opts.Keys)
	var bad *ledger.CheckpointError
	if errors.As(err, &bad) && bad.Kind == ledger.UnknownKey {
		signed.Checkpoint, err = ledger.ParseCheckpoint(string(note[:bytes.LastIndex(note, []byte("\n\n"))+1]))
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
	t.size, t.root = signed.Size, signed.Root
	var known bool
	t.log, known = ledger.LogOf(signed.Origin)
	t.base = strings.TrimSuffix(signed.Origin, t.log.Origin(""))
	switch {
	case !known:
		return t, errors.New("it is not of one of our logs")
	case r.origin != "" && t.base != r.origin:
		return t, fmt.Errorf("it is signed for another ledger: %s, and not %s", t.base, r.origin)
	}
	return t, nil
}

// sizes sums up the checkpoints that one unknown key has signed.
type sizes struct{ count, first, last int64 }

// unknownKept bounds how many unknown keys are told apart.
const unknownKept = 50

// sum counts a checkpoint of unknown keys whose root is the log's. Sizes grow from call to call.
func (e *extent) sum(c trusted) {
	if e.unknown[c.unknown] == nil && len(e.unknown) >= unknownKept {
		c.unknown = "others"
	}
	if e.unknown[c.unknown] == nil {
		e.unknown[c.unknown] = &sizes{first: c.size}
	}
	e.unknown[c.unknown].count++
	e.unknown[c.unknown].last = c.size
}

// reportUnknown reports the checkpoints of unknown keys, one line for each key: keys are rotated, and an auditor may
// have only the new one. If a trusted checkpoint of a larger size covers them, history up to there is proven without
// them, and a notice is enough.
func (r *run) reportUnknown(e *extent) {
	for _, keys := range slices.Sorted(maps.Keys(e.unknown)) {
		s := e.unknown[keys]
		by := fmt.Sprintf("%d checkpoints of sizes from %d to %d are signed by %s only, which was not given", s.count, s.first, s.last, keys)
		if s.count == 1 {
			by = fmt.Sprintf("one checkpoint, of size %d, is signed by %s only, which was not given", s.last, keys)
		}
		switch {
		case s.last <= e.proven:
			r.notice(Notice{Log: e.log, Detail: by + ". The root that each names is this log's, and a later checkpoint by a given key covers it. Give the key with --key to have the signatures checked too"})
		case e.done: // else a checkpoint that covers them may not have been reached
			r.findings.add(Finding{Kind: CheckpointUntrusted, Log: e.log, Detail: by +
				fmt.Sprintf(": give it with --key. The root that each names is this log's, but no signature by a given key covers what is above %d entries", e.proven)})
		}
	}
}
