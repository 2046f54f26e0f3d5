package benchingest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"audittrail/bench/internal/benchdb"
)

// Stage is what a benchmark's measurements run on.
type Stage struct {
	Dir    string // temporary; readable for PostgreSQL's own user
	Server *benchdb.Server
	Broker *Broker // nil until StartBroker

	opts Options
	log  *os.File // of the ingest processes
}

// Open makes the folder and starts PostgreSQL, with settings beside those that all benchmarks have.
func Open(ctx context.Context, opts Options, settings map[string]string) (_ *Stage, err error) {
	s := &Stage{opts: opts, log: os.Stderr}
	if s.Dir, err = os.MkdirTemp("", "audittrail-bench-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.Chmod(s.Dir, 0o755); err != nil {
		return nil, err
	}
	if opts.KeepLog != "" {
		if s.log, err = os.Create(opts.KeepLog); err != nil {
			return nil, err
		}
	}
	s.Server, err = benchdb.StartIn(ctx, opts.Data, settings)
	return s, err
}

// Close stops the servers and leaves nothing behind.
func (s *Stage) Close() error {
	var errs []error
	if s.Broker != nil {
		errs = append(errs, s.Broker.stop())
	}
	if s.Server != nil {
		errs = append(errs, s.Server.Close())
	}
	if s.log != nil && s.log != os.Stderr {
		errs = append(errs, s.log.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(s.Dir))...)
}

// Build compiles the program under test and answers its path. It leaves out -trimpath, which changes no generated code
// but would compile every package once more.
func (s *Stage) Build(ctx context.Context, name string, flags ...string) (program string, err error) {
	Progress("building %s", name)
	program = filepath.Join(s.Dir, name)
	args := append([]string{"build", "-o", program}, flags...)
	if out, err := exec.CommandContext(ctx, "go", append(args, "audittrail")...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}

// Database makes an empty database with our tables, and answers its URL and what drops it again.
func (s *Stage) Database(ctx context.Context, program string) (url string, drop func() error, err error) {
	url, drop, err = s.Server.Fresh(ctx)
	if err != nil {
		return "", nil, err
	}
	if out, err := exec.CommandContext(ctx, program, "migrate", "up", "--postgres.url", url).CombinedOutput(); err != nil {
		return "", nil, errors.Join(fmt.Errorf("migrate up: %w\n%s", err, out), drop())
	}
	return url, drop, nil
}
