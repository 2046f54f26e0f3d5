package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
	"audittrail/platform/postgres"
)

// Appender writes history. It is safe for concurrent use, but see Append.
type Appender struct {
	pool    *pgxpool.Pool
	breaker *pgxpool.Pool
	letters *protect.Letters
	months  *months
	now     func() time.Time
	log     *slog.Logger
}

// AppenderOptions are what an Appender needs.
type AppenderOptions struct {
	// Pool is of the role audittrail_ingest, with application_name IngestApplication, a lock_timeout
	// and synchronous_commit on.
	Pool *pgxpool.Pool
	// Breaker is of the login role. It ends stalled transactions that block an Append. Without it a stalled
	// process keeps its partitions until its connection dies.
	Breaker *pgxpool.Pool
	Letters *protect.Letters // seals dead letters; nil: they are stored as they are
	Now     func() time.Time // time.Now if nil
	Log     *slog.Logger     // discards if nil
}

// NewAppender returns an Appender. It opens no connection.
func NewAppender(o AppenderOptions) *Appender {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return &Appender{pool: o.Pool, breaker: o.Breaker, letters: o.Letters, months: newMonths("events"), now: o.Now, log: o.Log}
}

// Append stores the whole batch in one transaction, or nothing of it. If it returns an error, the caller MUST call
// it again with the same batch, until it succeeds or the process gives up its partitions. That is safe, since the
// fence shows what was stored. Two goroutines MUST NOT call it for the same partition. A partition that is fenced
// off is left out of the batch and named in the Receipt; the others are stored.
//
// The transaction takes its locks in one order (offsets, keys, ledger), each group sorted, so no two appends can
// deadlock. Its five steps are in fence.go, dedupe.go, copy.go and account.go.
func (a *Appender) Append(ctx context.Context, b Batch) (Receipt, error) {
	receipt := Receipt{First: -1}
	p, err := newPlan(b, a.now())
	if err != nil {
		return receipt, err
	}
	for blamed := true; len(p.ranges) > 0; {
		if err := a.months.ensure(ctx, a.pool, timesOf(p.events)); err != nil {
			return receipt, fmt.Errorf("append batch: %w", err)
		}
		if a.letters != nil { // also for those of which only the transaction finds that they are none
			if p.letters, err = a.letters.Key(ctx, p.recordedAt); err != nil {
				return receipt, fmt.Errorf("append batch: %w", err)
			}
		}
		err := a.try(ctx, p, &receipt)
		var refused *refusedError
		if errors.As(err, &refused) {
			var bad int
			bad, err = a.separate(ctx, p, refused)
			if err == nil && bad == 0 && !(blamed && isMissingPartition(refused.cause)) {
				err = fmt.Errorf("no event alone is to blame: %w", refused)
			}
			if blamed = bad > 0; err == nil {
				continue
			}
		}
		if err == nil {
			return receipt, nil
		}
		var fenced *fencedError
		if !errors.As(err, &fenced) {
			return receipt, fmt.Errorf("append batch: %w", err)
		}
		if err := a.settle(ctx, fenced.ranges, &receipt); err != nil {
			return receipt, fmt.Errorf("append batch: %w", err)
		}
		if p, err = newPlan(p.without(fenced.ranges), a.now()); err != nil {
			return receipt, err
		}
	}
	return receipt, nil
}

// try runs the transaction once. After any error between BEGIN and the answer to COMMIT it drops the connection,
// whose state is unknown. The transaction ends with it.
func (a *Appender) try(ctx context.Context, p *plan, receipt *Receipt) (err error) {
	conn, err := a.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("acquire connection: %w", err)
	}
	defer func() { giveBack(conn, err == nil) }()
	defer a.breakStalls(ctx, postgres.Backend(conn.Conn().PgConn()))()

	if err := noteValues(ctx, conn.Conn(), p.events); err != nil {
		return err
	}
	t := transaction{conn: conn.Conn(), plan: p}
	if err := t.begin(ctx); err != nil {
		return err
	}
	if err := t.dedupe(ctx); err != nil {
		return err
	}
	if p.redrive != nil {
		if err := t.asPlanned(); err != nil {
			return err
		}
	}
	if err := t.copyEvents(ctx); err != nil {
		return err
	}
	first, err := t.accountAndCommit(ctx)
	if err != nil {
		return err
	}
	receipt.First = first
	receipt.Outcomes = append(receipt.Outcomes, t.outcomes...)
	receipt.Stored += len(t.survivors)
	receipt.Duplicates += t.duplicates
	receipt.Conflicts += t.conflicts
	receipt.DeadLettered += len(p.rejected) + t.conflicts
	return nil
}

// giveBack returns a connection to its pool if its state is known, and closes it otherwise.
func giveBack(conn *pgxpool.Conn, known bool) {
	if known {
		conn.Release()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = conn.Hijack().Close(ctx) // it may be gone already
}
