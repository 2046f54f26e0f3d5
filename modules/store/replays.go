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
	"audittrail/platform/errs"
)

// ReplayState is where a replay stands.
type ReplayState string

// The states. A wish that a worker has not heeded yet counts where no worker is needed for it.
const (
	ReplayPending   ReplayState = "pending"
	ReplayRunning   ReplayState = "running"
	ReplayPaused    ReplayState = "paused"
	ReplayCompleted ReplayState = "completed"
	ReplayCancelled ReplayState = "cancelled"
	ReplayFailed    ReplayState = "failed"
)

// ReplayWish is what somebody wants of a replay.
type ReplayWish string

// The wishes.
const (
	WishRun    ReplayWish = "run"
	WishPause  ReplayWish = "pause"
	WishCancel ReplayWish = "cancel"
	WishRetry  ReplayWish = "retry" // send the failed events again
)

// NewReplay is a replay to be made. Only the caller knows the formats of the documents.
type NewReplay struct {
	CreatedBy, Reason     string
	Filter, Target, Speed []byte // JSON
	TargetKey             string // equal for targets that are one place
	Until                 int64  // the last position
	Total                 int64  // how many events match up to there
	Opens                 []byte // of which events sealed values are sent open, see WithStoredOpening; nil: of none
	Placeholders          bool   // other sealed values are sent as placeholders; else the job fails at one
}

// Replay is a job that sends stored events to a target.
type Replay struct {
	NewReplay

	Number    int64
	ID        event.ID
	CreatedAt time.Time
	Scopes    []byte // see WithScopes

	State      ReplayState
	Position   int64 // all events up to there were sent, or have failed, or wait
	Sent       int64
	Failed     int64
	Waiting    int64 // for failed ones of the same aggregates
	Rate       float64
	Error      string
	StartedAt  time.Time // zero: not yet
	FinishedAt time.Time // likewise
}

// ReplayPage is a part of the list of replays.
type ReplayPage struct {
	Items []Replay
	Next  string // the next page's cursor; "" on the last page
}

// Replays is the table of jobs, as the API sees it. A replay is visible to readers who may see all that it sends.
type Replays struct{ pool *pgxpool.Pool }

// NewReplays makes a Replays on a pool of the role audittrail_api.
func NewReplays(pool *pgxpool.Pool) *Replays { return &Replays{pool} }

const (
	// effectiveState heeds wishes that need no worker.
	effectiveState = `CASE
		WHEN state IN ('running', 'cancelled') OR asked = heeded THEN state
		WHEN wanted = 'retry' THEN 'pending'
		WHEN state = 'completed' THEN state
		WHEN wanted = 'run' THEN 'pending'
		WHEN state = 'failed' THEN state
		WHEN wanted = 'cancel' THEN 'cancelled'
		ELSE 'paused' END`

	replayColumns = `number, id, created_at, created_by, reason, filter, scopes, target, target_key, speed, until_position, total, ` +
		effectiveState + `, position, sent, rate, error, started_at,
		CASE WHEN ` + effectiveState + ` = 'cancelled' THEN coalesce(finished_at, asked_at) ELSE finished_at END, opens, placeholders,
		(SELECT count(*) FROM replay_failures WHERE replay = number AND attempts > 0),
		(SELECT count(*) FROM replay_failures WHERE replay = number AND attempts = 0)`

	createReplaySQL = `INSERT INTO replays (created_by, reason, filter, target, target_key, speed, until_position, total, scopes, scope_hashes, opens, placeholders)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12) RETURNING ` + replayColumns

	// It uses the primary key. $2 is the reader's scopes.
	listReplaysSQL = `SELECT ` + replayColumns + ` FROM replays WHERE number < $1 AND scope_hashes @> $2 ORDER BY number DESC LIMIT $3`
	replaySQL      = `SELECT ` + replayColumns + ` FROM replays WHERE id = $1 AND scope_hashes @> $2`

	// FOR UPDATE: of two wishes at once the second sees what the first one made.
	askReplaySQL = `UPDATE replays SET wanted = $3, asked = asked + 1, asked_by = $4, asked_at = now()
		WHERE number = (SELECT number FROM replays WHERE id = $1 AND scope_hashes @> $2 FOR UPDATE)
		AND (` + effectiveState + `) = ANY ($5) RETURNING ` + replayColumns
)

func scanReplay(row pgx.CollectableRow) (r Replay, err error) {
	var started, finished *time.Time
	err = row.Scan(&r.Number, (*[16]byte)(&r.ID), &r.CreatedAt, &r.CreatedBy, &r.Reason, &r.Filter, &r.Scopes, &r.Target, &r.TargetKey, &r.Speed,
		&r.Until, &r.Total, &r.State, &r.Position, &r.Sent, &r.Rate, &r.Error, &started, &finished, &r.Opens, &r.Placeholders, &r.Failed, &r.Waiting)
	r.CreatedAt = r.CreatedAt.UTC()
	if started != nil {
		r.StartedAt = started.UTC()
	}
	if finished != nil {
		r.FinishedAt = finished.UTC()
	}
	return r, err
}

func (r *Replays) query(ctx context.Context, what, sql string, args ...any) ([]Replay, error) {
	bounded, cancel := context.WithTimeout(ctx, readTimeout)
	defer cancel()
	rows, _ := r.pool.Query(bounded, sql, args...)
	found, err := pgx.CollectRows(rows, scanReplay)
	var pg *pgconn.PgError
	if err != nil && ctx.Err() == nil {
		if err = fmt.Errorf("%s: %w", what, err); !errors.As(err, &pg) {
			return nil, errAway.Because(err)
		}
		return nil, publicError(ctx, false, err)
	}
	return found, err
}

// Create makes a replay that sends what the caller may see.
func (r *Replays) Create(ctx context.Context, n NewReplay) (Replay, error) {
	limits, err := MarshalScopes(ctx)
	if err != nil {
		return Replay{}, err
	}
	made, err := r.query(ctx, "make a replay", createReplaySQL, n.CreatedBy, n.Reason, n.Filter, n.Target, n.TargetKey, n.Speed, n.Until, n.Total,
		limits, scopeHashes(ctx), n.Opens, n.Placeholders)
	if err != nil {
		return Replay{}, err
	}
	return made[0], nil
}

// List returns a page of the replays, the latest first; it ignores p.Order.
func (r *Replays) List(ctx context.Context, p Page) (ReplayPage, error) {
	fingerprint := append([]byte("replays"), scopesOf(ctx).fingerprint()...)
	before := key{id: 1<<63 - 1}
	if p.Cursor != "" {
		var err error
		if before, err = parseCursor(p.Cursor, Descending, fingerprint); err != nil {
			return ReplayPage{}, err
		}
	}
	found, err := r.query(ctx, "list replays", listReplaysSQL, before.id, scopeHashes(ctx), p.Limit+1)
	page := ReplayPage{Items: found}
	if len(found) > p.Limit {
		page.Items = found[:p.Limit]
		page.Next = cursor(key{time.Unix(0, 0), page.Items[p.Limit-1].Number}, Descending, fingerprint)
	}
	return page, err
}

var errNoReplay = errs.New(errs.NotFound, "not_found", "there is no replay with this id")

// Get returns a replay.
func (r *Replays) Get(ctx context.Context, id event.ID) (Replay, error) {
	found, err := r.query(ctx, "read replay", replaySQL, [16]byte(id), scopeHashes(ctx))
	if err == nil && len(found) == 0 {
		err = errNoReplay
	}
	if err != nil {
		return Replay{}, err
	}
	return found[0], nil
}

// Ask records what somebody wants of a replay. A wish that is fulfilled already changes nothing; one that can't be
// fulfilled any more is a Conflict.
func (r *Replays) Ask(ctx context.Context, id event.ID, wish ReplayWish, by string) (Replay, error) {
	from, fulfilled := map[ReplayWish][]string{
		WishPause:  {"pending", "running"},
		WishRun:    {"paused", "failed"},
		WishCancel: {"pending", "running", "paused"},
		WishRetry:  {"running", "paused", "completed", "failed"},
	}[wish], map[ReplayWish][]ReplayState{
		WishPause: {ReplayPaused}, WishRun: {ReplayPending, ReplayRunning}, WishCancel: {ReplayCancelled},
	}[wish]
	changed, err := r.query(ctx, "change replay", askReplaySQL, [16]byte(id), scopeHashes(ctx), wish, by, from)
	if err != nil {
		return Replay{}, err
	}
	if len(changed) == 1 {
		return changed[0], nil
	}
	now, err := r.Get(ctx, id)
	if err != nil {
		return Replay{}, err
	}
	for _, state := range fulfilled {
		if now.State == state {
			return now, nil
		}
	}
	return Replay{}, errs.New(errs.Conflict, "replay_state", "the replay is %s", now.State)
}
