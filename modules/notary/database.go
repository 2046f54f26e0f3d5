package notary

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// maxSize is above every log's size.
const maxSize = math.MaxInt64

// session holds the lead: while it lasts, no other process signs. See store.Notary.
type session interface {
	Ledger(log ledger.Log) rows
	NumberPending(ctx context.Context) (int, error)
	Harden(ctx context.Context) error
	Lost() bool
	Close(ctx context.Context)
}

// reader reads one log in the database, as every notary may. See store.Ledger.
type reader interface {
	ledger.Reader
	Size(ctx context.Context) (int64, error)
	CheckpointUpTo(ctx context.Context, size int64) (store.Checkpoint, bool, error)
	Checkpoints(ctx context.Context, after int64, limit int) ([]store.Checkpoint, error)
}

// rows reads and writes one log, as only the process that leads may.
type rows interface {
	reader
	Built(ctx context.Context) (int64, error)
	WriteTiles(ctx context.Context, parts []ledger.TilePart) error
	KeepCheckpoint(ctx context.Context, c store.Checkpoint) error
	AddSignatures(ctx context.Context, size int64, added []store.Signature, at time.Time) error
}

// storeSession adapts store.Notary to session.
type storeSession struct{ *store.Notary }

func (s storeSession) Ledger(log ledger.Log) rows { return s.Notary.Ledger(log) }

func leadStore(ctx context.Context, pool *pgxpool.Pool) (session, bool, error) {
	lead, ok, err := store.LeadNotary(ctx, pool)
	if err != nil || !ok {
		return nil, false, err
	}
	return storeSession{lead}, true, nil
}

// uniqueViolation is the SQLSTATE of an INSERT whose key exists already.
const uniqueViolation = "23505"

// sqlState returns PostgreSQL's code for the error, or "00000" if it is not from PostgreSQL.
func sqlState(err error) string {
	var failed *pgconn.PgError
	if errors.As(err, &failed) && len(failed.Code) == len("00000") {
		return failed.Code
	}
	return "00000"
}
