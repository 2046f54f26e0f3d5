package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/ledger"
)

// Notary is the session of the process that signs this database's checkpoints. All its writes go through this
// session. So a notary that has lost the lead without knowing can't write.
type Notary struct{ *Lead }

// LeadNotary gives the caller the notary's lead if no other process has it. pool is of the role audittrail_notary.
func LeadNotary(ctx context.Context, pool *pgxpool.Pool) (*Notary, bool, error) {
	lead, ok, err := tryLead(ctx, pool, lockNotary, "notary")
	return &Notary{lead}, ok, err
}

// Ledger returns a log's rows, to read and write in this session.
func (n *Notary) Ledger(log ledger.Log) *Ledger { return &Ledger{db: n.conn, log: log} }

// NumberPending is store.NumberPending, in this session.
func (n *Notary) NumberPending(ctx context.Context) (int, error) { return numberPending(ctx, n.conn) }

// Harden returns once everything that the session has seen is durable: on disk, and on the synchronous standbys if
// there are any. Committed data is not always: if the backend that waits for a standby is terminated or cancelled,
// others see its commit too early. So Harden commits an empty WAL message, and the standbys have everything before
// it too.
func (n *Notary) Harden(ctx context.Context) error {
	if _, err := n.conn.Exec(ctx, `SELECT pg_logical_emit_message(true, 'audittrail', '')`); err != nil {
		return fmt.Errorf("notary: wait until everything is durable: %w", err)
	}
	return nil
}
