package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchdb"
)

// briefSchema is the table that the brief asks for, with its indexes.
//
//go:embed brief.sql
var briefSchema string

// copyIntoBrief measures psql's \copy into the table and indexes that the brief asks for.
func copyIntoBrief(ctx context.Context, b *bench) (reading, error) {
	url, drop, err := b.Server.Fresh(ctx)
	if err != nil {
		return reading{}, err
	}
	return b.copy(ctx, url, drop, b.workload.briefFile, briefColumns, briefSchema)
}

// copyIntoOwn measures psql's \copy into our events table: its partitions, indexes and triggers, but
// neither keys nor accounting nor ledger, which a copy has no use for.
func copyIntoOwn(ctx context.Context, b *bench) (reading, error) {
	url, drop, err := b.Database(ctx, b.program)
	if err != nil {
		return reading{}, err
	}
	return b.copy(ctx, url, drop, b.workload.ownFile, ownColumns, "")
}

// copy fills a database, on which it runs schema before, and drops it.
func (b *bench) copy(ctx context.Context, url string, drop func() error, file, columns, schema string) (s reading, err error) {
	defer func() { err = errors.Join(err, drop()) }()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if _, err := conn.Exec(ctx, schema); err != nil {
		return s, err
	}
	if err := b.Server.Settle(ctx); err != nil {
		return s, err
	}

	began := time.Now()
	command := fmt.Sprintf(`\copy events (%s) FROM '%s'`, columns, file)
	psql := exec.CommandContext(ctx, b.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", command)
	if out, err := psql.CombinedOutput(); err != nil {
		return s, fmt.Errorf("psql: %w: %s", err, out)
	}
	if err := benchdb.CleanPendingLists(ctx, conn); err != nil {
		return s, err
	}
	s.Seconds = time.Since(began).Seconds()

	s.Records = len(b.workload.records)
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&s.Stored); err != nil {
		return s, err
	}
	if s.Stored != int64(s.Records) {
		return s, fmt.Errorf("%d of %d rows arrived", s.Stored, s.Records)
	}
	return s, nil
}
