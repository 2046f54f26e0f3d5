package migratetest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/platform/devstack"
)

// OwnServer is a server that a test has for itself, to take it away. Its data survive Stop and Crash,
// and its port stays the same.
type OwnServer struct {
	t        testing.TB
	server   *devstack.Postgres
	database string
}

// Server starts a server for t with one migrated database, and ends it when t is over.
func Server(t testing.TB) *OwnServer {
	t.Helper()
	c, err := newCluster(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &OwnServer{t: t, server: c.server}
	t.Cleanup(func() { s.within((*devstack.Postgres).Stop) })
	if s.database, err = c.clone(t.Context(), template); err != nil {
		t.Fatal(err)
	}
	return s
}

// URL is how the superuser logs in to the database (sslmode=disable); it does not change.
func (s *OwnServer) URL() string { return s.server.URL(s.database) }

// Stop shuts the server down as an operator would: connections are cut, ports are closed.
func (s *OwnServer) Stop() {
	s.t.Helper()
	s.within((*devstack.Postgres).Halt)
}

// Crash ends it without a checkpoint.
func (s *OwnServer) Crash() {
	s.t.Helper()
	s.within((*devstack.Postgres).Crash)
}

// Start brings it back, and returns once it takes connections.
func (s *OwnServer) Start() {
	s.t.Helper()
	s.within((*devstack.Postgres).Start)
}

// Restart is Stop and Start.
func (s *OwnServer) Restart() {
	s.t.Helper()
	s.Stop()
	s.Start()
}

// within gives an action a time limit that the test's own end does not cut.
func (s *OwnServer) within(action func(*devstack.Postgres, context.Context) error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := action(s.server, ctx); err != nil {
		s.t.Fatal(err)
	}
}

// Replica starts a streaming replica of the server, and ends it when t is over. It may be stopped, crashed and
// started as the server itself.
func (s *OwnServer) Replica() *OwnServer {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 2*time.Minute)
	defer cancel()
	server, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Fast: true, Settings: settings(), Follows: s.server})
	if err != nil {
		s.t.Fatal(err)
	}
	r := &OwnServer{t: s.t, server: server, database: s.database}
	s.t.Cleanup(func() { r.within((*devstack.Postgres).Stop) })
	return r
}

// Execute runs a statement as the superuser.
func (s *OwnServer) Execute(sql string) {
	s.t.Helper()
	s.within(func(_ *devstack.Postgres, ctx context.Context) error {
		conn, err := pgx.Connect(ctx, s.URL())
		if err != nil {
			return err
		}
		defer conn.Close(ctx) //nolint:errcheck // the statement has answered
		_, err = conn.Exec(ctx, sql)
		return err
	})
}
