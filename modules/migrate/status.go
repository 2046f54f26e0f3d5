package migrate

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/platform/errs"
	"audittrail/platform/postgres"
)

// Status is what a database has beside what this program brings.
type Status struct {
	Version int   `json:"version"` // of the database; 0 for an empty one
	Dirty   bool  `json:"dirty"`   // a migration to Version was interrupted
	Latest  int   `json:"latest"`  // of this program
	Pending []int `json:"pending"` // what Up would apply, ascending; never null
}

// ReadStatus asks a database. It changes nothing.
func ReadStatus(ctx context.Context, opts Options) (Status, error) {
	opts = opts.withDefaults()
	conn, err := connect(ctx, opts)
	if err != nil {
		return Status{}, err
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // it only read
	return readStatus(ctx, conn, opts)
}

func readStatus(ctx context.Context, db Queryer, opts Options) (Status, error) {
	all, err := versions(opts.files)
	if err != nil {
		return Status{}, err
	}
	s := Status{Pending: []int{}}
	if s.Version, s.Dirty, err = version(ctx, db); err != nil {
		return Status{}, err
	}
	for _, v := range all {
		s.Latest = v
		if v > s.Version {
			s.Pending = append(s.Pending, v)
		}
	}
	return s, nil
}

// Queryer is a connection or a pool.
type Queryer interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// version reads the one row. The library records an interrupted return to the empty database as -1.
func version(ctx context.Context, db Queryer) (v int, dirty bool, err error) {
	err = db.QueryRow(ctx, `SELECT version, dirty FROM public.schema_migrations`).Scan(&v, &dirty)
	var failed *pgconn.PgError
	switch {
	case errors.Is(err, pgx.ErrNoRows), errors.As(err, &failed) && failed.Code == "42P01": // undefined_table
		return 0, false, nil
	case err != nil:
		return 0, false, fmt.Errorf("read the schema's version: %w", err)
	}
	return max(v, 0), dirty, nil
}

// Check answers whether the schema fits this program: in UTF8, clean, and at least of its version. A newer one
// fits, so that the database is migrated before the programs are replaced one by one.
func Check(ctx context.Context, db Queryer) error {
	if err := checkEncoding(ctx, db); err != nil {
		return orRefused(err)
	}
	s, err := readStatus(ctx, db, Options{}.withDefaults())
	switch {
	case err != nil:
		return orRefused(errs.New(errs.Unavailable, "schema_unknown", "the schema's version can't be read").Because(err))
	case s.Dirty:
		return errs.New(errs.Unavailable, "schema_dirty", "the migration of the schema to version %d was interrupted", s.Version)
	case s.Version < s.Latest:
		return errs.New(errs.Unavailable, "schema_outdated",
			"the schema is at version %d and this program needs %d: run audittrail migrate up", s.Version, s.Latest)
	}
	return nil
}

// orRefused returns what an operator can do where the connection was refused, and else the error itself.
func orRefused(err error) error {
	if refused := postgres.Refused(err); refused != nil {
		return refused
	}
	return err
}
