package notary

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// sign builds the log's tiles up to its size, proves that the log is an extension of the head, signs it, and keeps
// the checkpoint: first in the memory, then in the database.
//
// Before that, everything that was read is made durable, even if it became visible too early. The memory must
// never have something that a failover to a synchronous standby takes back.
//
// Writing the memory before the database makes crashes harmless:
//
//   - Nobody else sees a checkpoint before its row is committed, and it is in the memory, on disk, before that.
//     So every checkpoint that anybody has seen is remembered, even if the database loses its last commits in
//     a failover. In the other order, a row could be read by others and then lost, and the notary could sign
//     another root for its size.
//   - A crash before the memory is written loses a signature that nobody saw. Tiles may exist already. They
//     are computed from the leaves alone, and building goes on from them.
//   - After a crash between the two, the memory is one checkpoint ahead of the rows, but not of the log: the
//     leaves were committed before they were signed. The next start finds that the log is as long as the head,
//     recomputes the root at that size, which must be the same, and keeps the remembered note (completeLast).
//     There is no second signature and no refusal: a refusal is for a log that is shorter or has another root.
//     (A process that waits meanwhile adopts the checkpoints of others. It never keeps its own one then, which
//     nobody has seen.)
//   - If the answer to COMMIT is lost, the term ends. The next one finds the row, or keeps it then.
//   - A process that has lost the lead without knowing can't write rows, since they go through its session.
//     Nor can it set back a memory that it shares with its successor. The memory only grows, and a process
//     that finds a checkpoint in it that it did not know ends its term, even if that is smaller than the one
//     it signs now. The next term begins with that checkpoint.
//
// Two roots for one size would need two leaves at one position, read from rows that are never changed. If
// somebody changes them, the notary refuses: before each signature it compares the head's root with the one
// that the rows have now.
func (t *term) sign(ctx context.Context, l *logTerm) error {
	root, err := l.prove(ctx, l.size)
	if err != nil {
		return err
	}
	if err := t.session.Harden(ctx); err != nil {
		return err
	}
	signed, err := l.signer.sign(l.size, root)
	if err != nil {
		return err
	}
	l.head = head{Signed: signed, previous: l.head.Size, signedAt: t.role.now().UTC().Truncate(time.Microsecond)}
	if err := t.remember(ctx); err != nil {
		return err
	}
	if err := l.keep(ctx, l.head); err != nil {
		return err
	}
	t.covered(l.watched, t.role.now())
	t.role.metrics.signed.WithLabelValues(string(l.log)).Inc()
	t.role.log.DebugContext(ctx, "checkpoint signed", "log", l.log, "size", l.size, "root", root)
	return nil
}

// remember saves the heads. It is an error if another process has written a later checkpoint.
func (w *watch) remember(ctx context.Context) error {
	ahead, err := w.save(ctx)
	if err == nil && ahead {
		err = errAhead
	}
	return err
}

// errAhead ends the term of a process that does not know the last checkpoint.
var errAhead = errors.New("notary.state_file: another process has written a later checkpoint")

// completeLast keeps the head in the database if it is missing there since the last stop. Otherwise it adds the
// signatures of keys that have not signed it: a new key begins by confirming what the old one signed. Without
// that, a log that does not grow would need its old key for ever. All notaries remember those signatures when
// they next look.
func (t *term) completeLast(ctx context.Context, l *logTerm) error {
	if l.unkept.Size > 0 {
		t.role.log.InfoContext(ctx, "a checkpoint that was signed before the last stop is now in the database", "log", l.log, "size", l.unkept.Size)
		return l.keep(ctx, l.unkept)
	}
	if l.head.Size == 0 {
		return nil
	}
	added, err := l.missing(l.kept)
	if err != nil || len(added) == 0 {
		return err
	}
	if l.front == nil {
		if _, err := l.frontier(ctx); err != nil {
			return err
		}
	}
	t.role.log.InfoContext(ctx, "more keys sign the last checkpoint", "log", l.log, "size", l.kept.Size)
	return l.db.AddSignatures(ctx, l.kept.Size, added, t.role.now())
}

// keep writes the checkpoint to the database, where it is visible and never removed.
func (l *logTerm) keep(ctx context.Context, h head) error {
	err := l.db.KeepCheckpoint(ctx, store.Checkpoint{Size: h.Size, Root: h.Root, Note: string(h.Note), SignedAt: h.signedAt})
	if err == nil {
		l.seen = h.Size
	}
	return err
}

// prove returns the root at size. It computes the root from the signed frontier and the leaves since. Then it builds
// the tiles. They must give the same root and a consistency proof that verifies, since proofs are served from them.
func (l *logTerm) prove(ctx context.Context, size int64) (ledger.Hash, error) {
	f := l.front // look has proven it
	if err := f.extend(ctx, l.rows, size, nil); err != nil {
		return ledger.Hash{}, err
	}
	if err := l.buildTiles(ctx, size); err != nil {
		return ledger.Hash{}, err
	}
	prover, err := ledger.NewProver(l.db, size)
	if err != nil {
		return ledger.Hash{}, err
	}
	root, err := prover.Root(ctx)
	if err != nil {
		return ledger.Hash{}, err
	}
	if root != f.root() {
		return ledger.Hash{}, refuse(l.log, tiles, "at %d entries its tiles give the root %s, its leaves %s", size, root, f.root())
	}
	if l.head.Size == 0 {
		return root, nil // any log extends an empty one
	}
	proof, err := prover.Consistency(ctx, l.head.Size)
	if err != nil {
		return ledger.Hash{}, err
	}
	if err := ledger.VerifyConsistency(l.head.Size, size, l.head.Root, root, proof); err != nil {
		return ledger.Hash{}, refuse(l.log, forked, "from %d to %d entries: %v", l.head.Size, size, err)
	}
	return root, nil
}

func (l *logTerm) buildTiles(ctx context.Context, size int64) error {
	built, err := l.db.Built(ctx)
	if err != nil {
		return err
	}
	if built > size {
		return refuse(l.log, tiles, "it has %d entries, but its tiles reach to %d", size, built)
	}
	return ledger.BuildTiles(ctx, l.db, built, size, func(ctx context.Context, _ int64, parts []ledger.TilePart) error {
		err := l.db.WriteTiles(ctx, parts)
		if sqlState(err) == uniqueViolation {
			return refuse(l.log, tiles, "tiles are there already that no notary wrote: %v", err)
		}
		return err
	})
}
