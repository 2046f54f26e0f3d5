package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ledger"
)

// Notary is the session of the one process that signs this database's checkpoints. All that it writes
// goes through this session, so that a notary that lost its lead, but does not know it yet, can't write
// any more.
type Notary struct{ *Lead }

// LeadNotary makes the caller the one notary of this database, if there is none. pool is of the role
// audittrail_notary.
func LeadNotary(ctx context.Context, pool *pgxpool.Pool) (*Notary, bool, error) {
	lead, ok, err := tryLead(ctx, pool, lockNotary, "notary")
	return &Notary{lead}, ok, err
}

// Ledger is a log's rows, to be written in this session.
func (n *Notary) Ledger(log ledger.Log) *Ledger { return &Ledger{db: n.conn, log: log} }

// NumberPending is store.NumberPending, in this session.
func (n *Notary) NumberPending(ctx context.Context) (int, error) { return numberPending(ctx, n.conn) }

// Harden returns when all that the session has seen is as durable as a commit of its own: on the disk, and
// on the synchronous standbys where there are any. What was committed before is not always: a commit that
// still waits for a standby is seen by all once its backend is terminated or cancelled. So it commits a
// record of the log that means nothing, and everything else lies before it.
func (n *Notary) Harden(ctx context.Context) error {
	if _, err := n.conn.Exec(ctx, `SELECT pg_logical_emit_message(true, 'audittrail', '')`); err != nil {
		return fmt.Errorf("notary: wait until everything is durable: %w", err)
	}
	return nil
}
