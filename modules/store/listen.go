package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// appendedChannel is notified after each append that stored events. The notification is a hint and says
// nothing: what was stored, and how far, is in ledger_batches alone.
const appendedChannel = `audittrail_appended`

const listenSQL = `LISTEN ` + appendedChannel

// Listen calls heard whenever events were appended, by whatever process, and once when it begins to listen:
// what was appended before is there to be read then. It ends, always with an error, when ctx is cancelled or
// the connection is lost, and at once on a replica, which can't listen. The connection is taken out of the
// pool for good: it is one more than the pool may have. While it lasts, the server is the same; so before and after it
// the reader forgets by what it knows what is kept in the cache.
func (r *Reader) Listen(ctx context.Context, heard func()) error {
	defer r.cached.forget()
	return listening(ctx, r.pool, "listen for appends", listenSQL, func(conn *pgx.Conn) error {
		r.cached.forget()
		for heard(); ; heard() {
			if _, err := conn.WaitForNotification(ctx); err != nil {
				return err
			}
		}
	})
}

// listening calls listen with a connection of its own that listens.
func listening(ctx context.Context, pool *pgxpool.Pool, what, sql string, listen func(*pgx.Conn) error) error {
	wait, stop := context.WithTimeout(ctx, acquireTimeout)
	defer stop()
	pooled, err := pool.Acquire(wait)
	if err != nil {
		return fmt.Errorf("%s: acquire connection: %w", what, err)
	}
	conn := pooled.Hijack()
	defer func() {
		farewell, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
		defer cancel()
		_ = conn.Close(farewell) // nothing is lost with it
	}()
	if _, err = conn.Exec(wait, sql); err == nil {
		err = listen(conn)
	}
	return fmt.Errorf("%s: %w", what, err)
}
