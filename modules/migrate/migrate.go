// Package migrate brings a database's schema to a version of migrations/, tells which one it has, and
// answers whether it fits this program.
//
// It holds no SQL of the schema: that is in migrations/. Only commands and tests migrate; the roles of
// a running program call Check. Any number of processes may migrate one database at once: they queue
// at an advisory lock, and who finds nothing left to do is done.
//
// The version is kept in public.schema_migrations, a table of one row: (version, dirty). It belongs to
// audittrail_owner like all others, so that every login that is a member of it can migrate.
package migrate

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/source/iofs"
	"github.com/jackc/pgx/v5"

	"audittrail/migrations"
	"audittrail/platform/errs"
	"audittrail/platform/postgres"
)

// DefaultLockTimeout is how long a migration waits for another one, or for a table.
const DefaultLockTimeout = 10 * time.Minute

// Options say where to migrate.
type Options struct {
	URL         string        // a login that may create roles and tables, or a member of audittrail_owner
	LockTimeout time.Duration // 0: DefaultLockTimeout
	Log         *slog.Logger  // nil: none

	files fs.FS // tests bring their own; nil: migrations.Files
}

func (o Options) withDefaults() Options {
	if o.LockTimeout == 0 {
		o.LockTimeout = DefaultLockTimeout
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.files == nil {
		o.files = migrations.Files
	}
	return o
}

// connection has no limit for a statement: building an index takes what it takes.
func (o Options) connection() postgres.PoolOptions {
	return postgres.PoolOptions{URL: o.URL, Name: "migrate", LockTimeout: o.LockTimeout}
}

func connect(ctx context.Context, opts Options) (*pgx.Conn, error) {
	conn, err := postgres.Connect(ctx, opts.connection())
	if err != nil {
		return nil, fmt.Errorf("migrate: connect: %w", orRefused(err))
	}
	return conn, nil
}

// Up applies all migrations that the database does not have. It is no error if there are none, nor if
// the database is newer than this program. A database that is not in UTF8 is refused and not changed.
func Up(ctx context.Context, opts Options) error {
	if err := refuseEncoding(ctx, opts); err != nil {
		return err
	}
	return run(ctx, opts, false, func(s *session) error {
		have, _, err := s.driver.Version()
		if err != nil {
			return err
		}
		if have > s.latest {
			s.opts.Log.Info("the schema is newer than this program", "version", have, "program", s.latest)
			return nil
		}
		err = s.migrate.Up()
		if errors.Is(err, migrate.ErrNoChange) {
			return nil
		}
		return err
	})
}

// Down takes the last n migrations back. Where that would drop a table that holds rows, or a column of
// one, it is refused, and nothing is changed, unless destroyData says that they may go.
func Down(ctx context.Context, opts Options, n int, destroyData bool) error {
	if n < 1 {
		return errs.New(errs.Invalid, "invalid_argument", "the number of migrations to take back must be at least 1, not %d", n)
	}
	return run(ctx, opts, destroyData, func(s *session) error {
		have, _, err := s.driver.Version()
		if err != nil {
			return err
		}
		if applied := s.appliedUpTo(have); n > applied {
			return errs.New(errs.Invalid, "invalid_argument", "%d migrations are applied: %d can't be taken back", applied, n)
		}
		err = s.migrate.Steps(-n)
		if errs.Of(serverError(err)).Code != codeDataLoss {
			return err
		}
		// What was taken back before the refusal held no rows: it is put there again.
		if back := s.migrate.Migrate(uint(have)); back != nil && !errors.Is(back, migrate.ErrNoChange) {
			return errors.Join(err, back)
		}
		return err
	})
}

// Force records that the database has exactly this version and is clean, without running anything:
// after damage was repaired by hand. 0 is the empty database.
func Force(ctx context.Context, opts Options, version int) error {
	return run(ctx, opts, false, func(s *session) error {
		if version != 0 && !s.known(version) {
			return errs.New(errs.Invalid, "invalid_argument", "there is no version %d; the latest is %d", version, s.latest)
		}
		if version == 0 {
			version = -1 // the library's word for none
		}
		return s.migrate.Force(version)
	})
}

// versions are all versions, ascending.
func versions(files fs.FS) ([]int, error) {
	src, err := iofs.New(files, ".")
	if err != nil {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	defer src.Close() //nolint:errcheck // embedded files
	var all []int
	v, err := src.First()
	for err == nil {
		all = append(all, int(v))
		v, err = src.Next(v)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("read migrations: %w", err)
	}
	return all, nil
}
