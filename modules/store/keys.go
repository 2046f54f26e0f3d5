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

// Keys is the store of wrapped keys. It fulfils protect.KeyStore. It is safe for concurrent use.
type Keys struct{ pool *pgxpool.Pool }

// NewKeys returns Keys on a pool of the database that encryption.keys_url names.
func NewKeys(pool *pgxpool.Pool) *Keys { return &Keys{pool} }

const (
	rootSQL     = `SELECT wrapped_by, wrapped FROM root_key`
	wrappingSQL = `SELECT id, wrapped, wrapped_before FROM wrapping_keys`

	addWrappingSQL = `INSERT INTO wrapping_keys (id, wrapped) VALUES ($1, $2)`
	addRootSQL     = `INSERT INTO root_key (wrapped_by, wrapped) VALUES ($1, $2) ON CONFLICT DO NOTHING`

	// It uses the index subject_keys_subject and the primary key of shredded_subjects.
	subjectsSQL = `SELECT s.subject, k.id, k.wrapped_by, k.wrapped, d.shredded_at
		FROM unnest($1::bytea[]) AS s (subject)
		LEFT JOIN subject_keys AS k ON k.subject = s.subject AND k.wrapped IS NOT NULL
		LEFT JOIN shredded_subjects AS d ON d.subject = s.subject
		WHERE k.id IS NOT NULL OR d.subject IS NOT NULL`

	// unnest keeps the arrays' order, so two processes that create the same keys wait for each other in one order.
	addKeysSQL = `INSERT INTO subject_keys (id, subject, wrapped_by, wrapped)
		SELECT * FROM unnest($1::uuid[], $2::bytea[], $3::uuid[], $4::bytea[]) ON CONFLICT DO NOTHING`

	// It uses the primary key of subject_keys.
	keysSQL = `SELECT id, subject, wrapped_by, wrapped FROM subject_keys WHERE id = ANY ($1::uuid[])`
)

// Root implements protect.KeyStore.
func (k *Keys) Root(ctx context.Context) (root protect.Root, wrapping []protect.WrappingKey, ok bool, err error) {
	err = pgx.BeginTxFunc(ctx, k.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		switch err := tx.QueryRow(ctx, rootSQL).Scan((*[16]byte)(&root.By), &root.Wrapped); {
		case errors.Is(err, pgx.ErrNoRows):
			return nil
		case err != nil:
			return err
		}
		ok = true
		rows, _ := tx.Query(ctx, wrappingSQL)
		wrapping, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (w protect.WrappingKey, err error) {
			err = row.Scan((*[16]byte)(&w.ID), &w.Wrapped, &w.WrappedBefore)
			return w, err
		})
		return err
	})
	return root, wrapping, ok, err
}

// CreateRoot implements protect.KeyStore.
func (k *Keys) CreateRoot(ctx context.Context, root protect.Root, wrapping protect.WrappingKey) error {
	tx, err := k.pool.Begin(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(ctx) }() // nothing is left to do after Commit
	if _, err := tx.Exec(ctx, addWrappingSQL, [16]byte(wrapping.ID), wrapping.Wrapped); err != nil {
		return fmt.Errorf("store the wrapping key: %w", err)
	}
	tag, err := tx.Exec(ctx, addRootSQL, [16]byte(root.By), root.Wrapped)
	if err != nil {
		return fmt.Errorf("store the root key: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return nil // another process was first
	}
	return tx.Commit(ctx)
}

// Subjects implements protect.KeyStore.
func (k *Keys) Subjects(ctx context.Context, subjects []protect.SubjectHash) (map[protect.SubjectHash]protect.Subject, error) {
	wanted := make([][]byte, len(subjects))
	for i := range subjects {
		wanted[i] = subjects[i][:]
	}
	rows, err := k.pool.Query(ctx, subjectsSQL, wanted)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[protect.SubjectHash]protect.Subject, len(subjects))
	for rows.Next() {
		var (
			hash, wrapped []byte
			id, by        *[16]byte
			shredded      *time.Time
			s             protect.Subject
		)
		if err := rows.Scan(&hash, &id, &by, &wrapped, &shredded); err != nil {
			return nil, err
		}
		if len(hash) != len(protect.SubjectHash{}) {
			continue
		}
		if id != nil && by != nil {
			s.Key = &protect.WrappedKey{ID: *id, Subject: protect.SubjectHash(hash), By: *by, Wrapped: wrapped}
		}
		if shredded != nil {
			s.Shredded = utc(*shredded)
		}
		found[protect.SubjectHash(hash)] = s
	}
	return found, rows.Err()
}

// CreateKeys implements protect.KeyStore.
func (k *Keys) CreateKeys(ctx context.Context, keys []protect.WrappedKey) error {
	var (
		ids, by           [][16]byte
		subjects, wrapped [][]byte
	)
	for i := range keys {
		ids, by = append(ids, keys[i].ID), append(by, keys[i].By)
		subjects, wrapped = append(subjects, keys[i].Subject[:]), append(wrapped, keys[i].Wrapped)
	}
	_, err := k.pool.Exec(ctx, addKeysSQL, ids, subjects, by, wrapped)
	return err
}

// Keys implements protect.KeyStore.
func (k *Keys) Keys(ctx context.Context, ids []protect.KeyID) ([]protect.WrappedKey, error) {
	wanted := make([][16]byte, len(ids))
	for i := range ids {
		wanted[i] = ids[i]
	}
	rows, _ := k.pool.Query(ctx, keysSQL, wanted)
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (w protect.WrappedKey, err error) {
		var subject []byte
		err = row.Scan((*[16]byte)(&w.ID), &subject, (*[16]byte)(&w.By), &w.Wrapped)
		if len(subject) == len(w.Subject) {
			w.Subject = protect.SubjectHash(subject)
		}
		return w, err
	})
}

// SubjectKey is what is known of a subject's key, and of the key that wraps it.
type SubjectKey struct {
	ID            *protect.KeyID // nil if there is none
	Since         time.Time      // when it was made
	Erased        time.Time      // when the subject was erased last; zero if never
	WrappingSince time.Time      // when the present wrapping key was made
}

// By the indexes that subjectsSQL uses.
const subjectKeySQL = `SELECT k.id, k.created_at, (SELECT shredded_at FROM shredded_subjects WHERE subject = $1),
		(SELECT w.created_at FROM root_key AS r JOIN wrapping_keys AS w ON w.id = r.wrapped_by)
	FROM (SELECT) AS one LEFT JOIN subject_keys AS k ON k.subject = $1 AND k.wrapped IS NOT NULL`

// SubjectKey returns what is known of a subject's key.
func (k *Keys) SubjectKey(ctx context.Context, subject protect.SubjectHash) (found SubjectKey, err error) {
	var (
		id                      *[16]byte
		since, erased, wrapping *time.Time
	)
	if err = k.pool.QueryRow(ctx, subjectKeySQL, subject[:]).Scan(&id, &since, &erased, &wrapping); err != nil {
		return found, fmt.Errorf("read a subject's key: %w", err)
	}
	found.ID = (*protect.KeyID)(id)
	for from, to := range map[*time.Time]*time.Time{since: &found.Since, erased: &found.Erased, wrapping: &found.WrappingSince} {
		if from != nil {
			*to = utc(*from)
		}
	}
	return found, nil
}
