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

// maxSize stands above every log's size.
const maxSize = math.MaxInt64

// session is the lead: while it stands nobody else signs. See store.Notary.
type session interface {
	Ledger(log ledger.Log) rows
	NumberPending(ctx context.Context) (int, error)
	Harden(ctx context.Context) error
	Lost() bool
	Close(ctx context.Context)
}

// reader is one log in the database, as far as all notaries may use it. See store.Ledger.
type reader interface {
	ledger.Reader
	Size(ctx context.Context) (int64, error)
	CheckpointUpTo(ctx context.Context, size int64) (store.Checkpoint, bool, error)
	Checkpoints(ctx context.Context, after int64, limit int) ([]store.Checkpoint, error)
}

// rows is one log in the hands of the one that leads.
type rows interface {
	reader
	Built(ctx context.Context) (int64, error)
	WriteTiles(ctx context.Context, parts []ledger.TilePart) error
	KeepCheckpoint(ctx context.Context, c store.Checkpoint) error
	AddSignatures(ctx context.Context, size int64, added []store.Signature, at time.Time) error
}

// storeSession fits store.Notary to session.
type storeSession struct{ *store.Notary }

func (s storeSession) Ledger(log ledger.Log) rows { return s.Notary.Ledger(log) }

func leadStore(ctx context.Context, pool *pgxpool.Pool) (session, bool, error) {
	lead, ok, err := store.LeadNotary(ctx, pool)
	if err != nil || !ok {
		return nil, false, err
	}
	return storeSession{lead}, true, nil
}

// uniqueViolation is the SQLSTATE of a row that can't be written because another one is in its place.
const uniqueViolation = "23505"

// sqlState is PostgreSQL's code for the error; "00000" where it is none of PostgreSQL's.
func sqlState(err error) string {
	var failed *pgconn.PgError
	if errors.As(err, &failed) && len(failed.Code) == len("00000") {
		return failed.Code
	}
	return "00000"
}
