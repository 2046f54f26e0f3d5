package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
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

// briefSchema is the table that the brief asks for, with its indexes.
//
//go:embed brief.sql
var briefSchema string

// database is the server that everything is measured on.
type database struct {
	server *devstack.Postgres
	admin  *pgx.Conn
	psql   string
	made   int
}

func startPostgres(ctx context.Context) (_ *database, err error) {
	psql, err := exec.LookPath("psql")
	if err != nil {
		return nil, fmt.Errorf("psql is what ingest is measured against: %w", err)
	}
	d := &database{psql: psql}
	if d.server, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Settings: settings()}); err != nil {
		return nil, err
	}
	if d.admin, err = pgx.Connect(ctx, d.server.URL("postgres")); err != nil {
		return nil, errors.Join(err, d.close())
	}
	return d, nil
}

func (d *database) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var err error
	if d.admin != nil {
		err = d.admin.Close(ctx)
	}
	return errors.Join(err, d.server.Stop(ctx))
}

// fresh makes an empty database and gives its URL and what drops it again.
func (d *database) fresh(ctx context.Context) (url string, drop func() error, err error) {
	d.made++
	name := fmt.Sprintf("bench_%d", d.made)
	if _, err := d.admin.Exec(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	drop = func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		_, err := d.admin.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
		return err
	}
	return d.server.URL(name), drop, nil
}

// settle writes out what the work before has left, so that no measurement pays for another's.
func (d *database) settle(ctx context.Context) error {
	_, err := d.admin.Exec(ctx, "CHECKPOINT")
	return err
}

// pendingLists empties the GIN indexes' pending lists: work that is owed until then.
const pendingLists = `SELECT gin_clean_pending_list(c.oid::regclass)
	FROM pg_class c JOIN pg_am a ON a.oid = c.relam
	WHERE a.amname = 'gin' AND c.relkind = 'i'`

func cleanPendingLists(ctx context.Context, conn *pgx.Conn) error {
	if _, err := conn.Exec(ctx, pendingLists); err != nil {
		return fmt.Errorf("empty the pending lists: %w", err)
	}
	return nil
}
