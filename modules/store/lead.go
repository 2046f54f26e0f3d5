package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Lead is the session of the one process of this database that does a kind of work. The lead is an
// advisory lock, so it is lost with the session. It is one connection, to be used by one goroutine.
type Lead struct{ conn *pgx.Conn }

// closeTimeout bounds the farewell to the server.
const closeTimeout = 2 * time.Second

const (
	tryLeadSQL = `SELECT pg_try_advisory_lock($1)`

	// A process that is frozen keeps its connection, and with it the lead: the kernel answers for it. One
	// that works asks something every few seconds.
	leadIdleSQL = `SET idle_session_timeout = '15s'`
)

// tryLead makes the caller the one that leads, if there is none. The session is taken out of the pool for
// good. lock is one of the constants of that name.
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

// Check returns an error once the lead may be somebody else's.
func (l *Lead) Check(ctx context.Context) error { return l.conn.Ping(ctx) }

// Lost reports whether the session has ended, and with it the lead.
func (l *Lead) Lost() bool { return l.conn.IsClosed() }

// Close ends the session, and with it the lead, within two seconds.
func (l *Lead) Close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = l.conn.Close(ctx) // the lead is gone either way
}
