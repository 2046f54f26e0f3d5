package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Outbox is the queue of dead letters that are still to be published to their dead-letter topics. The transaction
// that stores a dead letter also queues it, so publishing may fail or lag without losing one. Each is published at
// least once.
type Outbox struct{ pool *pgxpool.Pool }

// NewOutbox returns an Outbox on a pool of the role audittrail_ingest.
func NewOutbox(pool *pgxpool.Pool) *Outbox { return &Outbox{pool: pool} }

// outboxBytes bounds the memory of one Next.
const outboxBytes = 8 << 20

const (
	// It uses the index dead_letter_outbox_unpublished. The running sum bounds the bytes; the first row is always
	// included.
	nextOutboxSQL = `SELECT id FROM (
			SELECT d.id, sum(coalesce(octet_length(d.key), 0) + CASE WHEN d.reason = 'too_large' THEN 0 ELSE coalesce(octet_length(d.value), 0) END
					+ (SELECT coalesce(sum(octet_length(k) + coalesce(octet_length(v), 0) + 40), 0) FROM unnest(d.header_keys, d.header_values) AS h (k, v)))
					OVER (ORDER BY d.id) AS bytes,
				row_number() OVER (ORDER BY d.id) AS n
			FROM (SELECT o.dead_letter_id FROM dead_letter_outbox o JOIN dead_letters l ON l.id = o.dead_letter_id
				WHERE o.published_at IS NULL AND o.dead_letter_id > $1 AND l.topic <> ALL ($2)
				ORDER BY o.dead_letter_id LIMIT $3) AS o
			JOIN dead_letters d ON d.id = o.dead_letter_id) AS s
		WHERE bytes <= $4 OR n = 1`
	readOutboxSQL = `SELECT ` + publishedColumns + ` FROM dead_letters WHERE id = ANY ($1) ORDER BY id`
	publishedSQL  = `UPDATE dead_letter_outbox SET published_at = now() WHERE dead_letter_id = ANY ($1) AND published_at IS NULL`
	pendingSQL    = `SELECT count(*) FROM dead_letters`
)

// Next returns unpublished dead letters with ids above after, in order, except those whose source topic is in skip.
// It returns at most limit, and at most 8 MiB unless the first one is larger. Values that are too large are left
// out; their length and hash are included.
func (o *Outbox) Next(ctx context.Context, after int64, skip []string, limit int) ([]DeadLetter, error) {
	if skip == nil {
		skip = []string{} // <> ALL (NULL) is never true
	}
	rows, _ := o.pool.Query(ctx, nextOutboxSQL, after, skip, limit, outboxBytes)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("find unpublished dead letters: %w", err)
	}
	if len(ids) == 0 {
		return nil, nil
	}
	rows, _ = o.pool.Query(ctx, readOutboxSQL, ids)
	letters, err := collectDeadLetters(rows)
	if err != nil {
		return nil, fmt.Errorf("read unpublished dead letters: %w", err)
	}
	return letters, nil
}

// Published marks dead letters as published: their topic has acknowledged them.
func (o *Outbox) Published(ctx context.Context, ids []int64) error {
	if _, err := o.pool.Exec(ctx, publishedSQL, ids); err != nil {
		return fmt.Errorf("mark dead letters published: %w", err)
	}
	return nil
}

// Pending counts the dead letters that nobody has redriven or dismissed.
func (o *Outbox) Pending(ctx context.Context) (int64, error) {
	var n int64
	if err := o.pool.QueryRow(ctx, pendingSQL).Scan(&n); err != nil {
		return 0, fmt.Errorf("count dead letters: %w", err)
	}
	return n, nil
}

// TryLead gives the caller the publisher's lead if no other process has it.
func (o *Outbox) TryLead(ctx context.Context) (*Lead, bool, error) {
	return tryLead(ctx, o.pool, lockOutbox, "outbox")
}
