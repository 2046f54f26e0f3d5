package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
)

// Letters decides about dead letters: it dismisses them, and keeps requests to redrive them, which the role replay
// carries out.
type Letters struct{ pool *pgxpool.Pool }

// NewLetters returns Letters on a pool of the role audittrail_api, or audittrail_replay for the methods that carry
// out requests.
func NewLetters(pool *pgxpool.Pool) *Letters { return &Letters{pool} }

// Dismiss decides that dead letters stay what they are. It returns how many it decided about; the others were
// decided before. ids MUST be ascending, which is the order of the locks. It uses the primary key.
func (l *Letters) Dismiss(ctx context.Context, ids []int64, by, reason string, at time.Time) (int64, error) {
	tag, err := l.pool.Exec(ctx, `INSERT INTO dead_letter_fates (dead_letter_id, decided_at, decided_by, reason)
		SELECT id, $2, $3, $4 FROM unnest($1::bigint[]) AS id ON CONFLICT (dead_letter_id) DO NOTHING`,
		ids, at, storable(by), storable(reason))
	if err != nil {
		return 0, publicError(ctx, false, fmt.Errorf("dismiss dead letters: %w", err))
	}
	return tag.RowsAffected(), nil
}

const (
	newRedriveSQL = `INSERT INTO redrive_requests (created_at, total, edited, created_by, reason, value, sealed_by)
		VALUES ($1, $2, $3, $4, $5, $6, $7) RETURNING id`
	newItemsSQL = `INSERT INTO redrive_items (request, dead_letter_id) SELECT $1, id FROM unnest($2::bigint[]) AS id`
)

// RequestRedrive keeps a request, and returns its id.
func (l *Letters) RequestRedrive(ctx context.Context, r RedriveRequest, ids []int64) (id int64, err error) {
	err = pgx.BeginFunc(ctx, l.pool, func(tx pgx.Tx) error {
		if err := tx.QueryRow(ctx, newRedriveSQL, r.CreatedAt, len(ids), r.Edited, storable(r.By), storable(r.Reason), r.Value, (*[16]byte)(r.SealedBy)).Scan(&id); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, newItemsSQL, id, ids)
		return err
	})
	if err != nil {
		return 0, publicError(ctx, false, fmt.Errorf("request a redrive: %w", err))
	}
	return id, nil
}

// RedriveState is how far a request has come.
type RedriveState struct {
	RedriveRequest
	FinishedAt *time.Time
	Total      int64
	Outcomes   map[string]int64 // by what became of its letters
	Failures   map[string]int64 // of those that failed, by reason
}

// Redrive returns a request; false if there is none. It uses the primary keys.
func (l *Letters) Redrive(ctx context.Context, id int64) (s RedriveState, ok bool, err error) {
	s = RedriveState{Outcomes: map[string]int64{}, Failures: map[string]int64{}}
	s.ID = id
	err = l.pool.QueryRow(ctx, `SELECT created_at, finished_at, total, edited, created_by, reason FROM redrive_requests WHERE id = $1`, id).
		Scan(&s.CreatedAt, &s.FinishedAt, &s.Total, &s.Edited, &s.By, &s.Reason)
	if errors.Is(err, pgx.ErrNoRows) {
		return s, false, nil
	}
	if err == nil {
		var (
			what, reason string
			n            int64
		)
		rows, _ := l.pool.Query(ctx, `SELECT outcome, coalesce(reason, ''), count(*) FROM redrive_items
			WHERE request = $1 AND outcome IS NOT NULL GROUP BY 1, 2`, id)
		_, err = pgx.ForEachRow(rows, []any{&what, &reason, &n}, func() error {
			if s.Outcomes[what] += n; what == RedriveFailed {
				s.Failures[reason] += n
			}
			return nil
		})
	}
	if err != nil {
		return s, false, publicError(ctx, false, fmt.Errorf("read a redrive: %w", err))
	}
	return s, true, nil
}

// LeadRedrives gives the caller the lead in carrying out redrives, if no other process has it.
func (l *Letters) LeadRedrives(ctx context.Context) (*Lead, bool, error) {
	return tryLead(ctx, l.pool, lockRedrive, "redrives")
}

const (
	// It uses redrive_requests_open.
	openRedriveSQL = `SELECT id, created_at, edited, created_by, reason, value, sealed_by FROM redrive_requests
		WHERE finished_at IS NULL ORDER BY id LIMIT 1`

	// It uses redrive_items_open. Of a value that is too large, which older rows keep whole, only its hash is read.
	openItemsSQL = `SELECT id FROM (
			SELECT d.id, sum(coalesce(octet_length(d.key), 0) + CASE WHEN d.reason = 'too_large' THEN 0 ELSE coalesce(octet_length(d.value), 0) END
					+ (SELECT coalesce(sum(octet_length(k) + coalesce(octet_length(v), 0) + 40), 0) FROM unnest(d.header_keys, d.header_values) AS h (k, v)))
					OVER (ORDER BY d.id) AS bytes,
				row_number() OVER (ORDER BY d.id) AS n
			FROM (SELECT dead_letter_id FROM redrive_items WHERE request = $1 AND outcome IS NULL ORDER BY dead_letter_id LIMIT $2) AS o
			JOIN dead_letters AS d ON d.id = o.dead_letter_id) AS s
		WHERE bytes <= $3 OR n = 1`

	triedSQL = `UPDATE redrive_items AS i SET tried_at = $2, outcome = o.what, reason = nullif(o.reason, ''), field = o.field, detail = o.detail
		FROM unnest($3::bigint[], $4::text[], $5::text[], $6::text[], $7::text[]) AS o (id, what, reason, field, detail)
		WHERE i.request = $1 AND i.dead_letter_id = o.id AND i.outcome IS NULL`
)

// NextRedrive returns the oldest request that is not done; false if there is none.
func (l *Letters) NextRedrive(ctx context.Context) (r RedriveRequest, ok bool, err error) {
	var sealedBy *[16]byte
	err = l.pool.QueryRow(ctx, openRedriveSQL).Scan(&r.ID, &r.CreatedAt, &r.Edited, &r.By, &r.Reason, &r.Value, &sealedBy)
	if errors.Is(err, pgx.ErrNoRows) {
		return r, false, nil
	}
	if err != nil {
		return r, false, fmt.Errorf("find a redrive: %w", err)
	}
	r.SealedBy = (*protect.KeyID)(sealedBy)
	return r, true, nil
}

// readRedrivenSQL uses the primary key of dead_letters.
const readRedrivenSQL = `SELECT ` + redrivenColumns + ` FROM dead_letters WHERE id = ANY ($1) ORDER BY id`

// Untried returns dead letters of a request that were not tried yet, in order, at most limit and about 8 MiB. The
// values of those that are too_large are left out; others are as they are stored, sealed or not.
func (l *Letters) Untried(ctx context.Context, request int64, limit int) ([]DeadLetter, error) {
	rows, _ := l.pool.Query(ctx, openItemsSQL, request, limit, outboxBytes)
	ids, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err == nil && len(ids) > 0 {
		rows, _ = l.pool.Query(ctx, readRedrivenSQL, ids)
		var letters []DeadLetter
		if letters, err = collectDeadLetters(rows); err == nil {
			return letters, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read dead letters of a redrive: %w", err)
	}
	return nil, nil
}

// Tried notes how letters of a request went.
func (l *Letters) Tried(ctx context.Context, request int64, outcomes []RedriveOutcome, at time.Time) error {
	n := len(outcomes)
	ids, what, reasons, fields, details := make([]int64, n), make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	for i, o := range outcomes {
		ids[i], what[i], reasons[i], fields[i], details[i] = o.Letter, o.What, string(o.Reason), storable(o.Field), storable(o.Detail)
	}
	if _, err := l.pool.Exec(ctx, triedSQL, request, at, ids, what, reasons, fields, details); err != nil {
		return fmt.Errorf("note how a redrive went: %w", err)
	}
	return nil
}

// Finished notes that all letters of a request were tried, and forgets the value that it came with.
func (l *Letters) Finished(ctx context.Context, request int64, at time.Time) error {
	if _, err := l.pool.Exec(ctx, `UPDATE redrive_requests SET finished_at = $2, value = NULL WHERE id = $1 AND finished_at IS NULL`, request, at); err != nil {
		return fmt.Errorf("finish a redrive: %w", err)
	}
	return nil
}
