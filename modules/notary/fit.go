package notary

import (
	"context"
	"errors"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// page is how many checkpoints are read at a time.
const page = 1000

// fit proves that the log is still what was signed, and catches up with checkpoints that another notary
// has signed with our key meanwhile. size is the log's.
func (t *term) fit(ctx context.Context, l *logTerm, size int64) error {
	if size < l.head.Size {
		return refuse(l.log, rolledBack, "it has %d entries, but a checkpoint of %d was signed", size, l.head.Size)
	}
	if err := t.keepHead(ctx, l); err != nil {
		return err
	}
	if err := t.catchUp(ctx, l, size); err != nil {
		return err
	}
	if l.head.Size > 0 && l.lacks(l.head.Signed) {
		return t.addSignatures(ctx, l)
	}
	return nil
}

// keepHead sees that the checkpoint that was signed last is kept. It may be missing, since it is
// remembered first (see sign); but the one before it was kept by then. If that is missing as well, somebody
// has removed them. (Between the two there may be one of another notary that was stopped in the middle.)
func (t *term) keepHead(ctx context.Context, l *logTerm) error {
	if l.head.Size == 0 {
		return nil
	}
	kept, ok, err := l.rows.CheckpointUpTo(ctx, l.head.Size)
	if err != nil {
		return err
	}
	switch {
	case ok && kept.Size == l.head.Size && kept.Root != l.head.Root:
		return refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries has another root than the one that was signed", kept.Size)
	case ok && kept.Size == l.head.Size:
		return nil
	case kept.Size < l.head.previous: // 0 where there is none
		return refuse(l.log, checkpoints, "checkpoints of %d and %d entries were signed, but the database keeps none after %d", l.head.previous, l.head.Size, kept.Size)
	}
	if _, err := l.frontier(ctx); err != nil {
		return err
	}
	t.role.log.InfoContext(ctx, "a checkpoint that was signed before the last stop is kept now", "log", l.log, "size", l.head.Size)
	return l.keep(ctx, l.head)
}

// keep makes the checkpoint visible, for ever.
func (l *logTerm) keep(ctx context.Context, h head) error {
	return l.rows.KeepCheckpoint(ctx, store.Checkpoint{Size: h.Size, Root: h.Root, Note: string(h.Note), SignedAt: h.signedAt})
}

// frontier reads the frontier at the last checkpoint, and proves that it is the one that was signed.
func (l *logTerm) frontier(ctx context.Context) (*frontier, error) {
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
func (t *term) catchUp(ctx context.Context, l *logTerm, size int64) error {
	var f *frontier
	strange, caught := "", 0
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
		for _, c := range list {
			if strange, err = t.adopt(ctx, l, f, c, after, size); err != nil {
				return err
			}
			after = c.Size
		}
		if caught += len(list); l.head.Size > 0 {
			if err := t.save(); err != nil { // so that the next start goes on from here
				return err
			}
		}
	}
	if strange != "" {
		return refuse(l.log, checkpoints, "its newest checkpoint is signed by none of the keys in ledger.signing_key, but by %s: "+
			"while keys are rotated every notary needs the old one as well", strange)
	}
	if caught > 0 {
		t.role.log.InfoContext(ctx, "the notary has caught up with checkpoints in the database", "log", l.log, "checkpoints", caught, "size", l.head.Size)
	}
	return nil
}

// adopt proves one checkpoint that is kept, and remembers it if it is ours; else it tells who signed it.
func (t *term) adopt(ctx context.Context, l *logTerm, f *frontier, c store.Checkpoint, before, size int64) (strange string, err error) {
	if c.Size > size {
		return "", refuse(l.log, rolledBack, "it has %d entries, but the database keeps a checkpoint of %d", size, c.Size)
	}
	if err := f.extend(ctx, l.rows, c.Size, nil); err != nil {
		return "", err
	}
	if root := f.root(); root != c.Root {
		return "", refuse(l.log, forked, "at %d entries it has the root %s, but the checkpoint that is kept says %s", c.Size, root, c.Root)
	}
	signed, err := l.open([]byte(c.Note))
	var bad *ledger.CheckpointError
	switch {
	case errors.As(err, &bad) && bad.Kind == ledger.UnknownKey:
		return bad.Detail, nil
	case err != nil:
		return "", refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries is not one: %v", c.Size, err)
	case signed.Size != c.Size || signed.Root != c.Root:
		return "", refuse(l.log, checkpoints, "the checkpoint that is kept of %d entries says something else", c.Size)
	}
	l.head = head{Signed: signed, previous: before, signedAt: c.SignedAt}
	return "", nil
}

// addSignatures lets keys sign the last checkpoint that have not: a new key begins by confirming what the
// old one signed. A log that does not grow could else never lose its old key. The row in the database
// stays as it is.
func (t *term) addSignatures(ctx context.Context, l *logTerm) error {
	if _, err := l.frontier(ctx); err != nil {
		return err
	}
	signed, err := l.sign(l.head.Size, l.head.Root)
	if err != nil {
		return err
	}
	l.head.Signed = signed
	return t.save()
}
