package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// Snapshot is the state of an aggregate as it was folded up to a moment. What its body says is the caller's.
type Snapshot struct {
	AsOf   time.Time // the timestamp of the last events that it holds: all of that moment
	Events int64     // how many it holds
	Body   []byte
}

// SnapshotOf names the aggregate that snapshots are of, and the rules that they were made by.
type SnapshotOf struct {
	AggregateType, AggregateID string
	Rules                      []byte
}

const (
	// By state_snapshots' primary key.
	latestSnapshotSQL = `SELECT as_of, events, body FROM state_snapshots
		WHERE aggregate_type = $1 AND aggregate_id = $2 AND rules = $3 AND as_of <= $4 ORDER BY as_of DESC LIMIT 1`

	dropSnapshotsSQL = `DELETE FROM state_snapshots WHERE aggregate_type = $1 AND aggregate_id = $2`

	saveSnapshotSQL = `INSERT INTO state_snapshots (aggregate_type, aggregate_id, rules, as_of, events, body)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
)

// Snapshot answers the latest snapshot up to a moment, or of all where that is zero; false where there is none that
// is good. History only grows, so one that holds as many events as there are holds all of them. An event that came
// late makes a snapshot wrong: all of the aggregate's are dropped then. For a reader who sees a part of the events
// there are none.
func (r *Reader) Snapshot(ctx context.Context, of SnapshotOf, until time.Time) (s Snapshot, ok bool, err error) {
	if !Unscoped(ctx) {
		return s, false, nil
	}
	err = r.read(ctx, "read snapshot", func(ctx context.Context, conn *pgx.Conn) error {
		var bound any = until
		if until.IsZero() {
			bound = "infinity"
		}
		err := conn.QueryRow(ctx, latestSnapshotSQL, pgx.QueryExecModeExec, of.AggregateType, of.AggregateID, of.Rules, bound).Scan(&s.AsOf, &s.Events, &s.Body)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		s.AsOf = utc(s.AsOf)
		f := Filter{AggregateType: of.AggregateType, AggregateID: of.AggregateID, To: s.AsOf.Add(time.Microsecond)}
		where, spans, err := r.search(ctx, conn, f, f.From, f.To)
		if err != nil {
			return err
		}
		n := int64(0)
		if len(spans) > 0 {
			if n, err = (&selection{branches: conditionsOf(spans), where: where, limit: math.MaxInt32}).count(ctx, conn); err != nil {
				return err
			}
		}
		if ok = n == s.Events; ok {
			return nil
		}
		_, err = conn.Exec(ctx, dropSnapshotsSQL, of.AggregateType, of.AggregateID)
		return err
	})
	return s, ok, err
}

// SaveSnapshot keeps a snapshot. It MUST hold all events of the aggregate up to its moment; one of a reader who sees
// a part of them is not kept.
func (r *Reader) SaveSnapshot(ctx context.Context, of SnapshotOf, s Snapshot) error {
	if !Unscoped(ctx) {
		return nil
	}
	return r.read(ctx, "save snapshot", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, saveSnapshotSQL, of.AggregateType, of.AggregateID, of.Rules, s.AsOf, s.Events, s.Body)
		return err
	})
}
