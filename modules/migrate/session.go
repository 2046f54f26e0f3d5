package migrate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/golang-migrate/migrate/v4"
	"github.com/golang-migrate/migrate/v4/source/iofs"

	"audittrail/platform/errs"
	"audittrail/platform/postgres"
)

// session is one run of the library on one connection.
type session struct {
	opts    Options
	driver  *driver
	migrate *migrate.Migrate
	all     []int // the versions there are, ascending
	latest  int
}

// run opens a session, does work, and closes it. When ctx ends, the statement that runs is cancelled:
// its migration is rolled back.
func run(ctx context.Context, opts Options, destroyData bool, work func(*session) error) (err error) {
	opts = opts.withDefaults()
	s := &session{opts: opts}
	if s.all, err = versions(opts.files); err != nil {
		return err
	}
	if len(s.all) > 0 {
		s.latest = s.all[len(s.all)-1]
	}
	if err := s.open(ctx, destroyData); err != nil {
		return explain(ctx, fmt.Errorf("migrate: %w", err))
	}
	defer func() {
		sourceErr, driverErr := s.migrate.Close()
		err = errors.Join(err, sourceErr, driverErr)
	}()
	release := context.AfterFunc(ctx, func() {
		s.migrate.GracefulStop <- true // its buffer holds one
		s.driver.cancel()
	})
	defer release()
	if err := work(s); err != nil {
		return explain(ctx, fmt.Errorf("migrate: %w", serverError(err)))
	}
	return ctx.Err()
}

func (s *session) open(ctx context.Context, destroyData bool) error {
	config, err := postgres.Config(s.opts.connection())
	if err != nil {
		return err
	}
	if s.driver, err = openDriver(ctx, config, s.all, destroyData); err != nil {
		return err
	}
	src, err := iofs.New(s.opts.files, ".")
	if err != nil {
		return errors.Join(fmt.Errorf("read migrations: %w", err), s.driver.Close())
	}
	if s.migrate, err = migrate.NewWithInstance("embedded", src, "postgres", s.driver); err != nil {
		return errors.Join(err, s.driver.Close())
	}
	// The server's own lock_timeout comes first: it leaves no goroutine of the library behind.
	s.migrate.LockTimeout = s.opts.LockTimeout + 5*time.Second
	s.migrate.Log = progress{s.opts.Log}
	return nil
}

func (s *session) known(version int) bool { return slices.Contains(s.all, version) }

// appliedUpTo is how many migrations a database of this version has.
func (s *session) appliedUpTo(version int) int {
	n := 0
	for _, v := range s.all {
		if v <= version {
			n++
		}
	}
	return n
}

// explain puts the library's errors into words that say what to do.
func explain(ctx context.Context, err error) error {
	var dirty migrate.ErrDirty
	switch {
	case errors.As(err, &dirty):
		return errs.New(errs.Conflict, "schema_dirty", "an older version of this program was interrupted while it migrated the schema to version %d. "+
			"Look what the database has, and record it: audittrail migrate force V", dirty.Version).Because(err)
	case ctx.Err() != nil:
		return fmt.Errorf("migrate: stopped; what was under way was rolled back: %w", context.Cause(ctx))
	}
	return withCure(err)
}

// progress passes the library's lines on, but for errors: those are returned, too.
type progress struct {
	log interface {
		Info(msg string, args ...any)
	}
}

func (p progress) Printf(format string, args ...any) {
	if line := strings.TrimSpace(fmt.Sprintf(format, args...)); !strings.HasPrefix(line, "error:") {
		p.log.Info("migration", "step", line)
	}
}

func (p progress) Verbose() bool { return false }
