// Package benchdb is what benchmarks share: the PostgreSQL that they measure on, and the events.
package benchdb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/devstack"
)

// settings are what an operator would choose for two cores and some gigabytes, and the same for all
// measurements. Durability is PostgreSQL's own: fsync and synchronous_commit stay on. No checkpoint is
// forced by the size of the log within a measurement; one runs before each.
func settings() map[string]string {
	return map[string]string{
		"shared_buffers":       "2GB",
		"max_wal_size":         "16GB",
		"checkpoint_timeout":   "30min",
		"maintenance_work_mem": "256MB",
		"fsync":                "on",
		"synchronous_commit":   "on",
		"full_page_writes":     "on",
	}
}

// Server is the PostgreSQL that everything is measured on.
type Server struct {
	Postgres *devstack.Postgres
	Made     int // databases so far
	settings map[string]string
	admin    *pgx.Conn
}

// Start starts a server of its own in a temporary folder. What is in more comes on top of the settings
// that all benchmarks have.
func Start(ctx context.Context, more map[string]string) (*Server, error) {
	return StartIn(ctx, "", more)
}

// StartIn is Start with a folder that keeps the data for the next run; a temporary one where dir is empty.
func StartIn(ctx context.Context, dir string, more map[string]string) (_ *Server, err error) {
	all := settings()
	maps.Copy(all, more)
	s := &Server{settings: all}
	if s.Postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{DataDir: dir, Settings: all}); err != nil {
		return nil, err
	}
	if s.admin, err = pgx.Connect(ctx, s.Postgres.URL("postgres")); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// Replica starts a streaming replica with the same settings, in a temporary folder.
func (s *Server) Replica(ctx context.Context) (*devstack.Postgres, error) {
	settings := maps.Clone(s.settings)
	settings["hot_standby_feedback"] = "on"
	return devstack.StartPostgres(ctx, devstack.PostgresOptions{Follows: s.Postgres, Settings: settings})
}

// Close stops the server and leaves nothing behind.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if s.admin != nil {
		err = s.admin.Close(ctx)
	}
	return errors.Join(err, s.Postgres.Stop(ctx))
}

// Fresh makes an empty database and gives its URL and what drops it again.
func (s *Server) Fresh(ctx context.Context) (url string, drop func() error, err error) {
	return s.create(ctx, "")
}

// Copy makes a copy of a database that nobody is connected to, by its URL.
func (s *Server) Copy(ctx context.Context, of string) (url string, drop func() error, err error) {
	config, err := pgx.ParseConfig(of)
	if err != nil {
		return "", nil, err
	}
	return s.create(ctx, " TEMPLATE "+pgx.Identifier{config.Database}.Sanitize())
}

func (s *Server) create(ctx context.Context, how string) (url string, drop func() error, err error) {
	s.Made++
	name := fmt.Sprintf("bench_%d", s.Made)
	if _, err := s.admin.Exec(ctx, "CREATE DATABASE "+name+how); err != nil {
		return "", nil, err
	}
	drop = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, err := s.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		return err
	}
	return s.Postgres.URL(name), drop, nil
}

// Kept gives the URL of the database of this name, which is made where it does not exist. It stays.
func (s *Server) Kept(ctx context.Context, name string) (url string, err error) {
	var exists bool
	if err := s.admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil {
		return "", err
	}
	if !exists {
		_, err = s.admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{name}.Sanitize())
	}
	return s.Postgres.URL(name), err
}

// Settle writes out what the work before has left, so that no measurement pays for another's.
func (s *Server) Settle(ctx context.Context) error {
	_, err := s.admin.Exec(ctx, "CHECKPOINT")
	return err
}

// CommitTime is how long a transaction that writes takes, with nothing else under way: the median of some.
func (s *Server) CommitTime(ctx context.Context) (time.Duration, error) {
	var took []float64
	for range 21 {
		begun := time.Now()
		if _, err := s.admin.Exec(ctx, "SELECT pg_logical_emit_message(true, 'bench', '')"); err != nil {
			return 0, err
		}
		took = append(took, float64(time.Since(begun)))
	}
	return time.Duration(Median(took)), nil
}

// pendingLists empties the GIN indexes' pending lists: work that is owed until then.
const pendingLists = `SELECT gin_clean_pending_list(c.oid::regclass)
	FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	WHERE a.amname = 'gin' AND c.relkind = 'i'`

// CleanPendingLists does the index work that is owed: no clock stops before.
func CleanPendingLists(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, pendingLists); err != nil {
		return fmt.Errorf("empty the pending lists: %w", err)
	}
	return nil
}

// Median is the middle of the values; 0 of none.
func Median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

// Spread is the median of some values, with the least and the most of them to show how steady they were.
type Spread struct {
	Median float64 `json:"median"`
	Least  float64 `json:"least"`
	Most   float64 `json:"most"`
}

// SpreadOf is zero of no values.
func SpreadOf(values []float64) Spread {
	if len(values) == 0 {
		return Spread{}
	}
	return Spread{Median: Median(values), Least: slices.Min(values), Most: slices.Max(values)}
}
