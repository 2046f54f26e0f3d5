package cmd

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"audittrail/cmd/app"
	"audittrail/modules/migrate"
	"audittrail/platform/postgres"
)

// Database roles that commands act as.
const (
	readingRole   = "audittrail_maintain" // may read all tables, and change none that counts
	admittingRole = "audittrail_ingest"
)

// openStore connects to the event store at postgres.url as a role, and looks whether its schema is ours. name
// is the command's, by which operators know its connections. Statements have no time limits, whatever the login
// or the database has as default: reading everything takes what it takes.
func openStore(c *cobra.Command, cfg app.Config, name, role string) (*pgxpool.Pool, error) {
	if err := cfg.Require("postgres.url"); err != nil {
		return nil, err
	}
	pool, err := postgres.Open(c.Context(), postgres.PoolOptions{URL: cfg.Postgres.URL, Name: name, Role: role, MaxConns: 1})
	if err != nil {
		return nil, err
	}
	if err = pool.Ping(c.Context()); err != nil {
		if refused := postgres.Refused(err); refused != nil {
			err = refused
		}
		err = fmt.Errorf("connect to postgres.url: %w", err)
	} else {
		err = migrate.Check(c.Context(), pool)
	}
	if err != nil {
		pool.Close()
		return nil, err
	}
	return pool, nil
}
