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

// page is how many checkpoints are read at a time. A hostile one may have 256 KiB.
const page = 100

const (
	saveEvery = time.Second      // while catching up
	tellEvery = 10 * time.Second // how often the progress is logged
)

// look proves that a log is still an extension of what was signed, and catches up with checkpoints that another
// notary has signed with our keys. It reads what is new, and the right edge of the tree at the head.
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

// measure reads the log's size. A waiting process MUST read it after the memory, which others may write: only then
// is the size of an honest log at least that of its head.
func (l *watched) measure(ctx context.Context) (err error) {
	l.size, err = l.rows.Size(ctx)
	return err
}

// compare compares the head with its row in the database. The row may be missing, since the head is remembered
// first (see sign). But the checkpoint before it was in the database by then. If that is missing too, somebody
// has removed them. (Between the two there may be a checkpoint of another notary that was stopped meanwhile.)
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
		return refuse(l.log, checkpoints, "the checkpoint of %d entries was in the database, and is not there any more", l.head.Size)
	case kept.Size < l.head.previous: // 0 where there is none
		return refuse(l.log, checkpoints, "checkpoints of %d and %d entries were signed, but the database keeps none after %d", l.head.previous, l.head.Size, kept.Size)
	}
	l.unkept = l.head
	return nil
}

// compareKept compares the note too, and remembers signatures that were added to it: those of a new key, while
// the log does not grow.
func (w *watch) compareKept(ctx context.Context, l *watched, kept store.Checkpoint) error {
	signed, err := l.open([]byte(kept.Note))
	switch {
	case err != nil:
		return refuse(l.log, checkpoints, "the checkpoint of %d entries in the database is not the one that was signed: %v", kept.Size, err)
	case kept.Root != l.head.Root || signed.Text() != l.head.Text():
		return refuse(l.log, checkpoints, "the checkpoint of %d entries in the database says something else than the one that was signed", kept.Size)
	}
	l.kept, l.seen = signed, kept.Size
	if !slices.ContainsFunc(signed.Keys, func(id string) bool { return !slices.Contains(l.head.Keys, id) }) {
		return nil
	}
	l.head.Signed = signed
	return w.remember(ctx)
}

// frontier reads the frontier at the head, and proves that it has the signed root.
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

// catchUp adopts the checkpoints in the database that are larger than the head. The root of each is recomputed from
// the leaves. The newest one MUST be signed by one of our keys; earlier ones may be of other keys, from before a
// rotation.
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
				err = errors.Join(err, w.remember(ctx)) // the checkpoints before it are proven
			}
			return err
		}
		after, caught = list[len(list)-1].Size, caught+len(list)
		if unsaved = l.head.Size > 0; unsaved && save.due(w.role.now()) { // the next start goes on from here
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
			"during a rotation every notary needs the old key too; if that key was lost, put its verifier key into ledger.retired_keys", strange)
	}
	if caught > 0 {
		l.front = f
		w.role.log.DebugContext(ctx, "the notary has caught up with checkpoints in the database", "log", l.log, "checkpoints", caught, "size", l.head.Size)
	}
	return nil
}

// adopt proves checkpoints of the database, in order, and makes the last one of ours the head. strange names the
// keys of the very last one, if it is not ours.
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
	if c.Size > l.size { // it was signed since the size was read, or the log is shorter
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
		return "", refuse(l.log, forked, "at %d entries it has the root %s, but the checkpoint in the database says %s", c.Size, root, c.Root)
	}
	signed, err := l.open([]byte(c.Note))
	var bad *ledger.CheckpointError
	switch {
	case errors.As(err, &bad) && bad.Kind == ledger.UnknownKey:
		return strings.Join(bad.Keys, " and "), nil
	case err != nil:
		return "", refuse(l.log, checkpoints, "the checkpoint of %d entries in the database is not valid: %v", c.Size, err)
	case signed.Size != c.Size || signed.Root != c.Root:
		return "", refuse(l.log, checkpoints, "the checkpoint of %d entries in the database is not what its row says", c.Size)
	}
	l.head = head{Signed: signed, previous: before, signedAt: c.SignedAt}
	l.kept, l.seen = signed, c.Size
	return "", nil
}

// every is due once per pace.
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
