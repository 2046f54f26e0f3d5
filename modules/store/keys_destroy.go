package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
)

// KeyDestroyer destroys keys. It never reads one.
type KeyDestroyer struct{ pool *pgxpool.Pool }

// NewKeyDestroyer returns a KeyDestroyer on a pool of the role audittrail_maintain, of the database that
// encryption.keys_url names.
func NewKeyDestroyer(pool *pgxpool.Pool) *KeyDestroyer { return &KeyDestroyer{pool} }

// Key returns the id of a subject's key, or nil if it has none, and the database's time.
func (d *KeyDestroyer) Key(ctx context.Context, subject protect.SubjectHash) (id *protect.KeyID, now time.Time, err error) {
	var key *[16]byte
	if err = d.pool.QueryRow(ctx, `SELECT key, moment FROM subject_key($1)`, subject[:]).Scan(&key, &now); err != nil {
		return nil, now, fmt.Errorf("find a subject's key: %w", err)
	}
	return (*protect.KeyID)(key), utc(now), nil
}

// Destroy destroys a subject's key, and has records from before a moment sealed under a key that nobody keeps. listed:
// only keys that are in it or were made before the moment; nil for whatever key there is. It returns what was destroyed,
// and when the subject was erased before; zero if never.
func (d *KeyDestroyer) Destroy(ctx context.Context, subject protect.SubjectHash, moment time.Time, listed []protect.KeyID) (destroyed []protect.KeyID, earlier time.Time, err error) {
	var (
		only   [][16]byte
		keys   [][16]byte
		before *time.Time
	)
	if listed != nil {
		only = uuids(listed)
	}
	if err = d.pool.QueryRow(ctx, `SELECT destroyed, earlier FROM destroy_subject_keys($1, $2, $3)`, subject[:], moment, only).Scan(&keys, &before); err != nil {
		return nil, earlier, fmt.Errorf("destroy a key: %w", err)
	}
	for _, key := range keys {
		destroyed = append(destroyed, key)
	}
	if before != nil {
		earlier = utc(*before)
	}
	return destroyed, earlier, nil
}

// Erased returns when subjects were erased last; those that never were are left out. It uses the primary key.
func (d *KeyDestroyer) Erased(ctx context.Context, subjects []protect.SubjectHash) (map[protect.SubjectHash]time.Time, error) {
	asked := make([][]byte, len(subjects))
	for i := range subjects {
		asked[i] = subjects[i][:]
	}
	found := map[protect.SubjectHash]time.Time{}
	var (
		subject []byte
		at      time.Time
	)
	rows, _ := d.pool.Query(ctx, `SELECT subject, shredded_at FROM shredded_subjects WHERE subject = ANY ($1)`, asked)
	_, err := pgx.ForEachRow(rows, []any{&subject, &at}, func() error {
		if len(subject) == len(protect.SubjectHash{}) {
			found[protect.SubjectHash(subject)] = utc(at)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("look for erased subjects: %w", err)
	}
	return found, nil
}
