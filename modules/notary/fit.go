package notary

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// page is how many checkpoints are read at a time: of hostile ones each takes 256 KiB.
const page = 100

const (
	saveEvery = time.Second      // while catching up
	tellEvery = 10 * time.Second // how far it has come
)

// look proves that a log is still what was signed, and catches up with checkpoints that another notary
// has signed with our keys meanwhile. It reads what is new, and the edge of the tree that it grows from.
func (w *watch) look(ctx context.Context, l *watched) error {
	l.kept, l.unkept, l.front = ledger.Signed{}, head{}, nil
	if err := l.measure(ctx); err != nil {
		return err
	}
	w.role.metrics.size.WithLabelValues(string(l.log)).Set(float64(l.size))
	if l.size < l.head.Size {
		return refuse(l.log, rolledBack, "it has %d entries, but a checkpoint of %d was signed", l.size, l.head.Size)
	}
	if err := w.compare(ctx, l); err != nil {
		return err
	}
	if l.size > l.head.Size || l.unkept.Size > 0 {
		f, err := l.frontier(ctx)
		if err != nil {
			return err
		}
		l.front = f
	}
	if err := w.catchUp(ctx, l); err != nil {
		return err
	}
	w.covered(l, w.role.now())
	return nil
}

// measure reads the log's size. In a waiting process it is read after the memory, which others may have
// written meanwhile: only so can't it be behind what is remembered of an honest log.
func (l *watched) measure(ctx context.Context) (err error) {
	l.size, err = l.rows.Size(ctx)
	return err
}

// compare looks whether the checkpoint that is remembered is kept as it was signed. It may be missing,
// since it is remembered first (see sign); but the one before it was kept by then. If that is missing as
// well, somebody has removed them. (Between the two there may be one of another notary that was stopped in
// the middle.)
func (w *watch) compare(ctx context.Context, l *watched) error {
	if l.head.Size == 0 {
		return nil
	}
	kept, ok, err := l.rows.CheckpointUpTo(ctx, l.head.Size)
	switch {
	case err != nil:
		return err
	case ok && kept.Size == l.head.Size:
		return w.compareKept(ctx, l, kept)
	case l.seen == l.head.Size:
		return refuse(l.log, checkpoints, "the checkpoint of %d entries was kept, and the database has it no more", l.head.Size)
	case kept.Size < l.head.previous: // 0 where there is none
		return refuse(l.log, checkpoints, "checkpoints of %d and %d entries were signed, but the database keeps none after %d", l.head.previous, l.head.Size, kept.Size)
	}
	l.unkept = l.head
	return nil
}

// compareKept compares the note as well, and remembers the signatures that were added to it: a new key's
// over a log that does not grow.
func (w *watch) compareKept(ctx context.Context, l *watched, kept store.Checkpoint) error {
	signed, err := l.open([]byte(kept.Note))
	switch {
	case err != nil:
		return refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries is not the one that was signed: %v", kept.Size, err)
	case kept.Root != l.head.Root || signed.Text() != l.head.Text():
		return refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries says something else than the one that was signed", kept.Size)
	}
	l.kept, l.seen = signed, kept.Size
	if !slices.ContainsFunc(signed.Keys, func(id string) bool { return !slices.Contains(l.head.Keys, id) }) {
		return nil
	}
	l.head.Signed = signed
	return w.remember(ctx)
}

// frontier reads the frontier at the last checkpoint, and proves that it is the one that was signed.
func (l *watched) frontier(ctx context.Context) (*frontier, error) {
	f, err := storedFrontier(ctx, l.rows, l.head.Size)
	if err != nil {
		return nil, err
	}
	if root := f.root(); l.head.Size > 0 && root != l.head.Root {
		return nil, refuse(l.log, forked, "at %d entries it has the root %s, but %s was signed", l.head.Size, root, l.head.Root)
	}
	return f, nil
}

// catchUp takes over the checkpoints that are kept beyond the last one that is remembered: each MUST be
// signed by one of our keys, and its root is recomputed from the leaves in between. Those of other keys
// (of a time before a rotation) are recomputed, too, but the newest one MUST be ours.
func (w *watch) catchUp(ctx context.Context, l *watched) error {
	f := l.front
	strange, caught, unsaved := "", 0, false
	save, tell := every{pace: saveEvery}, every{pace: tellEvery, last: w.role.now()}
	for after := l.head.Size; ; {
		list, err := l.rows.Checkpoints(ctx, after, page)
		if err != nil {
			return err
		}
		if len(list) == 0 {
			break
		}
		if f == nil {
			if f, err = l.frontier(ctx); err != nil {
				return err
			}
		}
		if strange, err = l.adopt(ctx, f, list, after); err != nil {
			if l.head.Size > after && refused(err) {
				err = errors.Join(err, w.remember(ctx)) // what is proven before it stays so
			}
			return err
		}
		after, caught = list[len(list)-1].Size, caught+len(list)
		if unsaved = l.head.Size > 0; unsaved && save.due(w.role.now()) { // so that the next start goes on from here
			if err := w.remember(ctx); err != nil {
				return err
			}
			unsaved = false
		}
		if tell.due(w.role.now()) {
			w.role.log.InfoContext(ctx, "the notary catches up with checkpoints in the database, and signs nothing until it has",
				"log", l.log, "checkpoints", caught, "entries", after, "of", l.size)
		}
	}
	if unsaved {
		if err := w.remember(ctx); err != nil {
			return err
		}
	}
	if strange != "" {
		return refuse(l.log, checkpoints, "its newest checkpoint is signed by none of the keys in ledger.signing_key, but by %s: "+
			"while keys are rotated every notary needs the old one as well; of a key that was lost, name the verifier key in ledger.retired_keys", strange)
	}
	if caught > 0 {
		l.front = f
		w.role.log.DebugContext(ctx, "the notary has caught up with checkpoints in the database", "log", l.log, "checkpoints", caught, "size", l.head.Size)
	}
	return nil
}

// adopt proves checkpoints that are kept, in order, and remembers the last of them that is ours; it tells who
// signed the very last one, if nobody of us did.
func (l *watched) adopt(ctx context.Context, f *frontier, list []store.Checkpoint, before int64) (strange string, err error) {
	leaves := &readAhead{Reader: l.rows, to: min(list[len(list)-1].Size, l.size)}
	for _, c := range list {
		if strange, err = l.adoptOne(ctx, f, leaves, c, before); err != nil {
			return "", err
		}
		before = c.Size
	}
	return strange, nil
}

func (l *watched) adoptOne(ctx context.Context, f *frontier, leaves ledger.Reader, c store.Checkpoint, before int64) (strange string, err error) {
	if c.Size > l.size { // it was signed since we looked, or the log is shorter
		if err := l.measure(ctx); err != nil {
			return "", err
		}
		if c.Size > l.size {
			return "", refuse(l.log, rolledBack, "it has %d entries, but the database keeps a checkpoint of %d", l.size, c.Size)
		}
	}
	if err := f.extend(ctx, leaves, c.Size, nil); err != nil {
		return "", err
	}
	if root := f.root(); root != c.Root {
		return "", refuse(l.log, forked, "at %d entries it has the root %s, but the checkpoint that is kept says %s", c.Size, root, c.Root)
	}
	signed, err := l.open([]byte(c.Note))
	var bad *ledger.CheckpointError
	switch {
	case errors.As(err, &bad) && bad.Kind == ledger.UnknownKey:
		return strings.Join(bad.Keys, " and "), nil
	case err != nil:
		return "", refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries is not one: %v", c.Size, err)
	case signed.Size != c.Size || signed.Root != c.Root:
		return "", refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries says something else", c.Size)
	}
	l.head = head{Signed: signed, previous: before, signedAt: c.SignedAt}
	l.kept, l.seen = signed, c.Size
	return "", nil
}

// every says once in a while that it is time.
type every struct {
	pace time.Duration
	last time.Time
}

func (e *every) due(now time.Time) bool {
	if now.Sub(e.last) < e.pace {
		return false
	}
	e.last = now
	return true
}
