package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
)

// Snapshot is the state of an aggregate, folded up to a moment. Only the caller knows the format of Body.
type Snapshot struct {
	AsOf   time.Time // the timestamp of its last events; it has all events of that moment
	Events int64     // how many it has
	Body   []byte
}

// SnapshotOf names the aggregate of snapshots, and the rules that they were made by.
type SnapshotOf struct {
	AggregateType, AggregateID string
	Rules                      []byte
}

const (
	// It uses the primary key of state_snapshots.
	latestSnapshotSQL = `SELECT as_of, events, body FROM state_snapshots
		WHERE aggregate_type = $1 AND aggregate_id = $2 AND rules = $3 AND as_of <= $4 ORDER BY as_of DESC LIMIT 1`

	dropSnapshotsSQL = `DELETE FROM state_snapshots WHERE aggregate_type = $1 AND aggregate_id = $2`

	saveSnapshotSQL = `INSERT INTO state_snapshots (aggregate_type, aggregate_id, rules, as_of, events, body)
		VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`
)

// Snapshot returns the latest valid snapshot up to a moment, or of all if that is zero; ok is false if there is none.
// History only grows, so a snapshot is valid if it has as many events as there are up to its moment. An event with
// an earlier timestamp makes it invalid; then all snapshots of the aggregate are deleted. A reader who may not see
// all events gets no snapshots.
func (r *Reader) Snapshot(ctx context.Context, of SnapshotOf, until time.Time) (s Snapshot, ok bool, err error) {
	if !Unscoped(ctx) {
		return s, false, nil
	}
	invalid := false
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
		ok, invalid = n == s.Events, n != s.Events
		return nil
	})
	if err == nil && invalid {
		err = r.read(withoutSeat(ctx), "drop snapshots", func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, dropSnapshotsSQL, of.AggregateType, of.AggregateID)
			return err
		})
	}
	return s, ok, err
}

// SaveSnapshot stores a snapshot. It MUST have all events of the aggregate up to its moment. It is not stored for a
// reader who may not see all events.
func (r *Reader) SaveSnapshot(ctx context.Context, of SnapshotOf, s Snapshot) error {
	if !Unscoped(ctx) {
		return nil
	}
	return r.read(withoutSeat(ctx), "save snapshot", func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, saveSnapshotSQL, of.AggregateType, of.AggregateID, of.Rules, s.AsOf, s.Events, s.Body)
		return err
	})
}
