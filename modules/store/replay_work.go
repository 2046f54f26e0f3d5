package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/event"
)

// ReplayWork is the table of jobs, as workers see it. A worker holds a job by a lease, which grows: whoever has an
// older one changes nothing any more.
type ReplayWork struct {
	pool  *pgxpool.Pool
	lease time.Duration
}

// NewReplayWork makes a ReplayWork on a pool of the role audittrail_replay. A job is another worker's to take once
// its lease was not renewed for so long.
func NewReplayWork(pool *pgxpool.Pool, lease time.Duration) *ReplayWork {
	return &ReplayWork{pool, lease}
}

// ErrLeaseLost says that another worker has the job.
var ErrLeaseLost = errors.New("another process has taken the replay over")

// ReplayClaim is a job that this worker holds.
type ReplayClaim struct {
	Replay
	Lease int64
	Prior ReplayState // the job's before
	Asked ReplayAsked
}

// ReplayAsked is the last wish. It is open until a worker has heeded it.
type ReplayAsked struct {
	Wish   ReplayWish
	Number int64
	IsOpen bool
}

const (
	// It uses replays_open and replays_running. A job whose worker has died is still running.
	claimReplaySQL = `UPDATE replays SET state = 'running', lease = lease + 1, leased_until = now() + $1::interval,
			started_at = coalesce(started_at, now()), finished_at = NULL, error = '', rate = 0
		FROM (SELECT number AS claimed, state AS prior FROM replays r
			WHERE (state = 'pending' AND wanted IN ('run', 'retry')
				OR asked > heeded AND (state IN ('paused', 'failed') AND wanted IN ('run', 'retry') OR state = 'completed' AND wanted = 'retry')
				OR state = 'running' AND leased_until < now())
			AND NOT EXISTS (SELECT FROM replays o WHERE o.target_key = r.target_key AND o.state = 'running' AND o.number <> r.number)
			ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED) AS c
		WHERE number = claimed
		RETURNING prior, lease, wanted, asked, asked > heeded, ` + replayColumns

	// heeded only grows.
	renewReplaySQL = `UPDATE replays SET leased_until = now() + $3::interval, position = $4, sent = $5, rate = $6, error = $7,
			heeded = greatest(heeded, $8)
		WHERE number = $1 AND lease = $2 AND state = 'running' RETURNING wanted, asked, asked > heeded`

	endReplaySQL = `UPDATE replays SET state = $3, leased_until = NULL, position = $4, sent = $5, error = $6, heeded = greatest(heeded, $7), rate = 0,
			finished_at = CASE WHEN $3 IN ('paused', 'pending') THEN NULL ELSE now() END
		WHERE number = $1 AND lease = $2 AND state = 'running'`

	// By the primary key of replay_failures.
	failSQL = `INSERT INTO replay_failures (replay, position, attempts, event_id, aggregate_type, aggregate_id, reason)
		VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (replay, position) DO UPDATE
		SET failed_at = now(), attempts = replay_failures.attempts + excluded.attempts, reason = excluded.reason`
	deliveredSQL = `DELETE FROM replay_failures WHERE replay = $1 AND position = ANY ($2)`
	failuresSQL  = `SELECT position, attempts, failed_at, event_id, aggregate_type, aggregate_id, reason FROM replay_failures
		WHERE replay = $1 AND position > $2 ORDER BY position LIMIT $3`
)

// Claim takes a job that nobody works at, the oldest first; ok is false where there is none. Of one target at most one
// job runs.
func (w *ReplayWork) Claim(ctx context.Context) (c ReplayClaim, ok bool, err error) {
	rows, _ := w.pool.Query(ctx, claimReplaySQL, w.lease)
	c, err = pgx.CollectExactlyOneRow(rows, func(row pgx.CollectableRow) (c ReplayClaim, err error) {
		c.Replay, err = scanReplay(behind{row, []any{&c.Prior, &c.Lease, &c.Asked.Wish, &c.Asked.Number, &c.Asked.IsOpen}})
		return c, err
	})
	var pg *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.As(err, &pg) && pg.Code == "23505": // another worker took one of the same target
		return ReplayClaim{}, false, nil
	case err != nil:
		return ReplayClaim{}, false, fmt.Errorf("claim a replay: %w", err)
	}
	return c, true, nil
}

// behind is a row of which the first columns are the caller's.
type behind struct {
	pgx.CollectableRow
	first []any
}

func (b behind) Scan(dest ...any) error { return b.CollectableRow.Scan(append(b.first, dest...)...) }

// ReplayProgress is how far a job has come.
type ReplayProgress struct {
	Position  int64
	Sent      int64
	Rate      float64
	Error     string          // what is in the way right now; "" where nothing is
	Heeded    int64           // the number of the wish that was heeded last
	Failures  []ReplayFailure // since the last progress
	Delivered []int64         // positions that had failed before
}

// ReplayFailure is an event that was not delivered.
type ReplayFailure struct {
	Position int64
	Attempts int // 0: it waits for an earlier one of its aggregate
	At       time.Time
	EventID  event.ID

	AggregateType, AggregateID string

	Reason string // in our own words
}

// Renew stores a job's progress, extends its lease, and returns the last wish. It fails with ErrLeaseLost where
// another worker has the job.
func (w *ReplayWork) Renew(ctx context.Context, c *ReplayClaim, p ReplayProgress) (asked ReplayAsked, err error) {
	err = w.change(ctx, c, p, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, renewReplaySQL, c.Number, c.Lease, w.lease, p.Position, p.Sent, p.Rate, p.Error, p.Heeded).
			Scan(&asked.Wish, &asked.Number, &asked.IsOpen)
	})
	return asked, err
}

// End stores a job's progress and gives the job up, in a state that is not running.
func (w *ReplayWork) End(ctx context.Context, c *ReplayClaim, state ReplayState, p ReplayProgress) error {
	return w.change(ctx, c, p, func(tx pgx.Tx) error {
		done, err := tx.Exec(ctx, endReplaySQL, c.Number, c.Lease, state, p.Position, p.Sent, p.Error, p.Heeded)
		if err == nil && done.RowsAffected() == 0 {
			err = pgx.ErrNoRows
		}
		return err
	})
}

// change changes the job's row first, so that nothing is stored under a lease that was lost.
func (w *ReplayWork) change(ctx context.Context, c *ReplayClaim, p ReplayProgress, row func(pgx.Tx) error) error {
	err := pgx.BeginTxFunc(ctx, w.pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted}, func(tx pgx.Tx) error {
		if err := row(tx); err != nil {
			return err
		}
		for _, f := range p.Failures {
			if _, err := tx.Exec(ctx, failSQL, c.Number, f.Position, f.Attempts, [16]byte(f.EventID), f.AggregateType, f.AggregateID, f.Reason); err != nil {
				return err
			}
		}
		if len(p.Delivered) > 0 {
			_, err := tx.Exec(ctx, deliveredSQL, c.Number, p.Delivered)
			return err
		}
		return nil
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return ErrLeaseLost
	}
	if err != nil {
		return fmt.Errorf("store the progress of a replay: %w", err)
	}
	return nil
}

// Failures returns failed and waiting events of a job in the order of their positions, those beyond after.
func (w *ReplayWork) Failures(ctx context.Context, replay, after int64, limit int) ([]ReplayFailure, error) {
	return replayFailures(ctx, w.pool, replay, after, limit)
}

// Failures returns failed and waiting events of a job in the order of their positions, those beyond after.
func (r *Replays) Failures(ctx context.Context, of Replay, after int64, limit int) ([]ReplayFailure, error) {
	return replayFailures(ctx, r.pool, of.Number, after, limit)
}

func replayFailures(ctx context.Context, pool *pgxpool.Pool, replay, after int64, limit int) ([]ReplayFailure, error) {
	rows, _ := pool.Query(ctx, failuresSQL, replay, after, limit)
	failures, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (f ReplayFailure, err error) {
		err = row.Scan(&f.Position, &f.Attempts, &f.At, (*[16]byte)(&f.EventID), &f.AggregateType, &f.AggregateID, &f.Reason)
		f.At = f.At.UTC()
		return f, err
	})
	if err != nil {
		return nil, fmt.Errorf("read failures of a replay: %w", err)
	}
	return failures, nil
}

// Ping reports whether jobs can be read.
func (w *ReplayWork) Ping(ctx context.Context) error { return w.pool.Ping(ctx) }
