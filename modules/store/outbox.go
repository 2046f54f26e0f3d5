package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Outbox is the queue of dead letters that are still to be published to their dead-letter topics. The transaction
// that stores a dead letter also queues it, so publishing may fail or lag without losing one. Each is published at
// least once.
type Outbox struct {
	pool *pgxpool.Pool

	looks    int   // how often Pending was asked
	floor    int64 // of the ids, no pending one was below it at the look before the last
	lastSeen int64
}

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
	pendingSQL    = `SELECT reason, pending FROM count_dead_letters()`
	// It uses the primary keys.
	oldestPendingSQL = `SELECT id, received_at FROM dead_letters AS d WHERE id >= $1
		AND NOT EXISTS (SELECT FROM dead_letter_fates AS f WHERE f.dead_letter_id = d.id) ORDER BY id LIMIT 1`
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

// PendingLetters are the dead letters that nobody has redriven or dismissed.
type PendingLetters struct {
	Reasons map[string]int64 // how many of each
	Oldest  time.Time        // when the oldest one was received; zero without any
}

// fullLook is how often Pending looks for the oldest one from the first id on: one may have been committed after
// others with higher ids.
const fullLook = 240

// Pending counts the pending dead letters. Its cost does not grow with their number: it reads a tally, and looks for
// the oldest one from where that was before. One goroutine at a time may call it.
func (o *Outbox) Pending(ctx context.Context) (PendingLetters, error) {
	p := PendingLetters{Reasons: map[string]int64{}}
	var (
		reason string
		n, id  int64
	)
	rows, _ := o.pool.Query(ctx, pendingSQL)
	if _, err := pgx.ForEachRow(rows, []any{&reason, &n}, func() error {
		p.Reasons[reason] = n
		return nil
	}); err != nil {
		return p, fmt.Errorf("count dead letters: %w", err)
	}
	if o.looks%fullLook == 0 {
		o.floor, o.lastSeen = 0, 0
	}
	o.looks++
	err := o.pool.QueryRow(ctx, oldestPendingSQL, o.floor).Scan(&id, &p.Oldest)
	switch {
	case errors.Is(err, pgx.ErrNoRows): // all are decided: the next one lies behind them
		err = o.pool.QueryRow(ctx, `SELECT coalesce(max(id), 0) FROM dead_letters`).Scan(&id)
	case err == nil:
		p.Oldest = p.Oldest.UTC()
	}
	if err != nil {
		return p, fmt.Errorf("find the oldest dead letter: %w", err)
	}
	o.floor, o.lastSeen = o.lastSeen, id
	return p, nil
}

// TryLead gives the caller the publisher's lead if no other process has it.
func (o *Outbox) TryLead(ctx context.Context) (*Lead, bool, error) {
	return tryLead(ctx, o.pool, lockOutbox, "outbox")
}
