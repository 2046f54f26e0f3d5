package store

import (
	"context"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/ledger"
	"audittrail/platform/errs"
)

// LedgerReader reads a log's hashes and checkpoints as a Reader reads events: bounded in time, one
// connection for one statement, with errors that a caller may see. It fulfils ledger.Reader. It is safe
// for concurrent use.
type LedgerReader struct {
	reader *Reader
	log    ledger.Log
}

// Ledger reads one of the logs.
func (r *Reader) Ledger(log ledger.Log) *LedgerReader { return &LedgerReader{r, log} }

// Leaves implements ledger.Reader.
func (l *LedgerReader) Leaves(ctx context.Context, ranges []ledger.Range) (leaves [][]ledger.Hash, err error) {
	err = l.with(ctx, "read leaves", func(ctx context.Context, rows *Ledger) (err error) {
		leaves, err = rows.Leaves(ctx, ranges)
		return err
	})
	return leaves, err
}

// Tiles implements ledger.Reader.
func (l *LedgerReader) Tiles(ctx context.Context, ids []ledger.TileID) (tiles [][]ledger.Hash, err error) {
	if secret := l.reader.cacheSecret(ctx); secret != nil {
		return l.cachedTiles(ctx, secret, ids)
	}
	return l.readTiles(ctx, ids)
}

func (l *LedgerReader) readTiles(ctx context.Context, ids []ledger.TileID) (tiles [][]ledger.Hash, err error) {
	err = l.with(ctx, "read tiles", func(ctx context.Context, rows *Ledger) (err error) {
		tiles, err = rows.Tiles(ctx, ids)
		return err
	})
	return tiles, err
}

// Checkpoint returns the latest one. If none was signed yet, the error is NotYetSigned.
func (l *LedgerReader) Checkpoint(ctx context.Context) (c Checkpoint, err error) {
	var ok bool
	err = l.with(ctx, "read checkpoint", func(ctx context.Context, rows *Ledger) (err error) {
		c, ok, err = rows.LatestCheckpoint(ctx)
		return err
	})
	if err == nil && !ok {
		return Checkpoint{}, NotYetSigned()
	}
	if l.log == ledger.Events {
		seatOf(ctx).raise(c.Size - 1)
	}
	return c, err
}

// CheckpointOf is the one of exactly this size; ok is false where none was signed.
func (l *LedgerReader) CheckpointOf(ctx context.Context, size int64) (c Checkpoint, ok bool, err error) {
	if l.log == ledger.Events {
		seatOf(ctx).raise(size - 1)
	}
	err = l.with(ctx, "read checkpoint", func(ctx context.Context, rows *Ledger) (err error) {
		c, ok, err = rows.CheckpointUpTo(ctx, size)
		return err
	})
	if err != nil || !ok || c.Size != size {
		return Checkpoint{}, false, err
	}
	return c, true, nil
}

// NotYetSigned says that no checkpoint covers what was asked for.
func NotYetSigned() *errs.Error {
	return errs.New(errs.Unavailable, "not_yet_signed",
		"no signed checkpoint covers this yet; one is made within seconds while the notary runs: try again later")
}

func (l *LedgerReader) with(ctx context.Context, what string, f func(context.Context, *Ledger) error) error {
	return l.reader.read(ctx, what, func(ctx context.Context, conn *pgx.Conn) error {
		return f(ctx, &Ledger{db: conn, log: l.log})
	})
}
