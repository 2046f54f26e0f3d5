package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/protect"
)

const (
	noteLetterKeySQL = `INSERT INTO letter_keys (key, month) VALUES ($1, $2) ON CONFLICT DO NOTHING`

	// It uses the primary keys of letter_keys, which has a row a month, and of subject_keys.
	destroyLetterKeysSQL = `SELECT destroy_letter_keys($1)`
)

// NoteLetterKey implements protect.KeyStore.
func (k *Keys) NoteLetterKey(ctx context.Context, id protect.KeyID, month time.Time) error {
	_, err := k.pool.Exec(ctx, noteLetterKeySQL, [16]byte(id), month)
	return err
}

// DestroyLetterKeys destroys the keys of dead letters of months that had ended by a moment, and returns how many. pool
// is of the role audittrail_maintain, in the database of the keys.
func DestroyLetterKeys(ctx context.Context, pool *pgxpool.Pool, by time.Time) (n int64, err error) {
	if err = pool.QueryRow(ctx, destroyLetterKeysSQL, by).Scan(&n); err != nil {
		return 0, fmt.Errorf("destroy the keys of old dead letters: %w", err)
	}
	return n, nil
}
