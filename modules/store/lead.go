package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Lead is the session of the one process that may do a kind of work in this database. The lead is an advisory lock of
// the session, and is lost with it. Only one goroutine may use it, since it is one connection.
type Lead struct{ conn *pgx.Conn }

// closeTimeout bounds closing the session.
const closeTimeout = 2 * time.Second

const (
	tryLeadSQL = `SELECT pg_try_advisory_lock($1)`

	// A frozen process keeps its connection, since the kernel answers for it, and so would keep the lead. A working
	// process sends a statement every few seconds.
	leadIdleSQL = `SET idle_session_timeout = '15s'`
)

// tryLead gives the caller the lead if no other process has it. It takes the session out of the pool for good. lock
// is one of the lock constants.
func tryLead(ctx context.Context, pool *pgxpool.Pool, lock int64, what string) (*Lead, bool, error) {
	pooled, err := pool.Acquire(ctx)
	if err != nil {
		return nil, false, fmt.Errorf("%s: connect: %w", what, err)
	}
	var leads bool
	if err := pooled.QueryRow(ctx, tryLeadSQL, lock).Scan(&leads); err != nil || !leads {
		giveBack(pooled, err == nil)
		if err != nil {
			err = fmt.Errorf("%s: ask for the lead: %w", what, err)
		}
		return nil, false, err
	}
	lead := &Lead{conn: pooled.Hijack()}
	if _, err := lead.conn.Exec(ctx, leadIdleSQL); err != nil {
		lead.Close(ctx)
		return nil, false, fmt.Errorf("%s: ask for the lead: %w", what, err)
	}
	return lead, true, nil
}

// LeadReconcile gives the caller the lead in checking the accounting, if no other process has it. pool is of a role that
// may read all tables.
func LeadReconcile(ctx context.Context, pool *pgxpool.Pool) (*Lead, bool, error) {
	return tryLead(ctx, pool, lockReconcile, "reconcile")
}

// Query reads in the session.
func (l *Lead) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	return l.conn.Query(ctx, sql, args...)
}

// BeginTx begins a transaction of the session.
func (l *Lead) BeginTx(ctx context.Context, opts pgx.TxOptions) (pgx.Tx, error) {
	return l.conn.BeginTx(ctx, opts)
}

// Check returns an error if another process may have the lead.
func (l *Lead) Check(ctx context.Context) error { return l.conn.Ping(ctx) }

// Lost reports whether the session has ended, and with it the lead.
func (l *Lead) Lost() bool { return l.conn.IsClosed() }

// Close ends the session, and with it the lead, within two seconds.
func (l *Lead) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = l.conn.Close(ctx) // the lead is gone either way
}
