package notary

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// sign builds the log's tiles up to size, proves that the log is the one that was signed last and more,
// signs it, and keeps the checkpoint.
//
// Whatever was read is made durable first, also where it was seen too early: nothing may be remembered that
// a failover to a synchronous standby takes back.
//
// The order of the last two steps, the memory before the database, is what makes crashes harmless:
//
//   - Nobody but this process has seen a checkpoint before its row is committed, and it is in the memory,
//     on the disk, before that. So whatever anybody was shown is remembered, even by a notary whose
//     database loses its last commits in a failover. The other way round, a row that was read and then
//     lost would be forgotten, and another root could be signed for its size.
//   - A crash before the memory is written loses a signature that nobody saw. Tiles may be there already:
//     they are functions of the leaves, and building goes on from them.
//   - A crash between the two leaves the memory one checkpoint ahead of the rows, but not of the log: its
//     leaves were committed before they were signed. So the next start finds the log as long as what is
//     remembered, recomputes the root at that size from the rows, which must be the same, and keeps
//     the very note that is remembered (settle). There is no second signature, and no alarm: that is for
//     a log which is shorter, or has another root. (Who waits meanwhile goes on with what others keep: its
//     own one, which nobody has seen, is never kept then.)
//   - Where COMMIT's answer is lost the term ends, and the next one finds the row or keeps it then.
//   - A term that was lost without knowing it can't write rows, since they go through its session. Nor can
//     it put back a memory that it shares with its successor: that only ever grows, and who finds more in
//     it than it knew, be it less than what it signs now, ends its term. The next one begins with that.
//
// Two roots for one size would need two leaves for one position; both would have to be read from rows
// that are never changed. Who changes them is refused, since the remembered root is compared with the one
// that the rows have now, before each signature.
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

// remember is save, where more in the file is an error.
func (w *watch) remember(ctx context.Context) error {
	ahead, err := w.save(ctx)
	if err == nil && ahead {
		err = errAhead
	}
	return err
}

// errAhead ends the term of who does not know what was signed last.
var errAhead = errors.New("notary.state_file: another process has put a later checkpoint into it meanwhile")

// settle keeps a checkpoint that was remembered before the last stop, and not kept. Else it lets keys sign
// the last one that have not: a new key begins by confirming what the old one signed. A log that does not
// grow could else never lose its old key. All notaries remember those signatures when they next look.
func (t *term) settle(ctx context.Context, l *logTerm) error {
	if l.unkept.Size > 0 {
		t.role.log.InfoContext(ctx, "a checkpoint that was signed before the last stop is kept now", "log", l.log, "size", l.unkept.Size)
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

// keep makes the checkpoint visible, for ever.
func (l *logTerm) keep(ctx context.Context, h head) error {
	err := l.db.KeepCheckpoint(ctx, store.Checkpoint{Size: h.Size, Root: h.Root, Note: string(h.Note), SignedAt: h.signedAt})
	if err == nil {
		l.seen = h.Size
	}
	return err
}

// prove answers the root at size. It is computed from the frontier that was signed and the leaves since;
// then the tiles are built and must give the same root, with a consistency proof that verifies, as
// everybody who asks for proofs will be given them.
func (l *logTerm) prove(ctx context.Context, size int64) (ledger.Hash, error) {
	f := l.front // which the look has proven
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
		return root, nil // whatever it is, it extends an empty log
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
