package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
)

// Rotation is the store of keys while they are wrapped anew. It fulfils protect.RotationStore. It is safe for
// concurrent use.
type Rotation struct {
	Keys
	lock *pgxpool.Conn // holds the lock that one rotation has
}

// ErrRotating says that another rotation is under way.
var ErrRotating = errors.New("another rotation is under way: wait for its end")

const (
	lockRotationSQL   = `SELECT pg_try_advisory_lock(hashtext('audittrail'), hashtext('rotation'))`
	unlockRotationSQL = `SELECT pg_advisory_unlock(hashtext('audittrail'), hashtext('rotation'))`

	beginRotationSQL = `INSERT INTO wrapping_keys (id, wrapped, wrapped_before) VALUES ($1, $2, $3)`
	rewrapRootSQL    = `UPDATE root_key SET wrapped_by = $1, wrapped = $2 WHERE wrapped_by = $3`
	countKeysSQL     = `SELECT count(*) FROM subject_keys WHERE wrapped_by <> $1`

	// It uses the primary key of subject_keys.
	nextKeysSQL = `SELECT id, wrapped_by, wrapped FROM subject_keys WHERE id > $2 AND id <= $3 AND wrapped_by <> $1 ORDER BY id LIMIT $4`

	// A key that was destroyed meanwhile is seen as such: READ COMMITTED looks at the row's newest version. It uses the
	// primary key of subject_keys, if bySeekingSQL comes before: the planner would read all keys for each batch, unless
	// there are millions.
	rewrapKeysSQL = `UPDATE subject_keys AS k SET wrapped_by = $2, wrapped = CASE WHEN k.wrapped IS NOT NULL THEN n.wrapped END
		FROM unnest($1::uuid[], $3::bytea[]) AS n (id, wrapped) WHERE k.id = n.id`

	bySeekingSQL = `SET LOCAL enable_seqscan = off`

	lockKeysSQL   = `LOCK TABLE subject_keys IN SHARE ROW EXCLUSIVE MODE`
	leftKeysSQL   = `SELECT id, wrapped_by, wrapped FROM subject_keys WHERE wrapped_by <> $1`
	retireSQL     = `DELETE FROM wrapping_keys WHERE id <> $1`
	endOverlapSQL = `UPDATE wrapping_keys SET wrapped_before = NULL WHERE wrapped_before IS NOT NULL`
)

// NewRotation returns a Rotation on a pool of the role audittrail_owner. It fails with ErrRotating if there is one
// already. The caller MUST close it.
func NewRotation(ctx context.Context, pool *pgxpool.Pool) (*Rotation, error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return nil, err
	}
	var ok bool
	if err := conn.QueryRow(ctx, lockRotationSQL).Scan(&ok); err != nil || !ok {
		conn.Release()
		if err == nil {
			err = ErrRotating
		}
		return nil, err
	}
	return &Rotation{Keys{pool}, conn}, nil
}

// Close lets another rotation begin.
func (r *Rotation) Close(ctx context.Context) {
	if _, err := r.lock.Exec(ctx, unlockRotationSQL); err != nil {
		_ = r.lock.Conn().Close(ctx) // which unlocks too
	}
	r.lock.Release()
}

// Begin implements protect.RotationStore.
func (r *Rotation) Begin(ctx context.Context, to protect.WrappingKey, root protect.Root, from protect.KeyID) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, beginRotationSQL, [16]byte(to.ID), to.Wrapped, to.WrappedBefore); err != nil {
			return err
		}
		changed, err := tx.Exec(ctx, rewrapRootSQL, [16]byte(root.By), root.Wrapped, [16]byte(from))
		if err == nil && changed.RowsAffected() != 1 {
			err = errors.New("the root key has changed meanwhile")
		}
		return err
	})
}

// Count implements protect.RotationStore.
func (r *Rotation) Count(ctx context.Context, except protect.KeyID) (n int64, err error) {
	err = r.pool.QueryRow(ctx, countKeysSQL, [16]byte(except)).Scan(&n)
	return n, err
}

// Next implements protect.RotationStore.
func (r *Rotation) Next(ctx context.Context, except, after, last protect.KeyID, limit int) ([]protect.WrappedKey, error) {
	rows, _ := r.pool.Query(ctx, nextKeysSQL, [16]byte(except), [16]byte(after), [16]byte(last), limit)
	return pgx.CollectRows(rows, scanWrapped)
}

func scanWrapped(row pgx.CollectableRow) (w protect.WrappedKey, err error) {
	err = row.Scan((*[16]byte)(&w.ID), (*[16]byte)(&w.By), &w.Wrapped)
	return w, err
}

// Rewrap implements protect.RotationStore. All keys MUST be wrapped by one wrapping key.
func (r *Rotation) Rewrap(ctx context.Context, keys []protect.WrappedKey) error {
	return pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, bySeekingSQL); err != nil {
			return err
		}
		return rewrapKeys(ctx, tx, keys)
	})
}

func rewrapKeys(ctx context.Context, tx pgx.Tx, keys []protect.WrappedKey) error {
	ids, wrapped := make([][16]byte, len(keys)), make([][]byte, len(keys))
	for i := range keys {
		ids[i], wrapped[i] = keys[i].ID, keys[i].Wrapped
	}
	_, err := tx.Exec(ctx, rewrapKeysSQL, ids, [16]byte(keys[0].By), wrapped)
	return err
}

// Retire implements protect.RotationStore. Processes that know only the former wrapping key would make keys by it for
// ever: the lock has them wait, and then fail and read the root again.
func (r *Rotation) Retire(ctx context.Context, except protect.KeyID, anew func([]protect.WrappedKey) error) (n int, err error) {
	err = pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, lockKeysSQL); err != nil {
			return err
		}
		rows, _ := tx.Query(ctx, leftKeysSQL, [16]byte(except))
		keys, err := pgx.CollectRows(rows, scanWrapped)
		if err != nil {
			return err
		}
		if n = len(keys); n > 0 {
			if err := anew(keys); err != nil {
				return err
			}
			if err := rewrapKeys(ctx, tx, keys); err != nil {
				return err
			}
		}
		_, err = tx.Exec(ctx, retireSQL, [16]byte(except))
		return err
	})
	return n, err
}

// EndOverlap implements protect.RotationStore.
func (r *Rotation) EndOverlap(ctx context.Context) (bool, error) {
	done, err := r.pool.Exec(ctx, endOverlapSQL)
	if err != nil {
		return false, fmt.Errorf("end the overlap: %w", err)
	}
	return done.RowsAffected() > 0, nil
}
