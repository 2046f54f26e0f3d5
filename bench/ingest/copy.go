package main

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchdb"
)

// copyIntoBrief measures psql's \copy into the table and indexes that the brief asks for.
func copyIntoBrief(ctx context.Context, b *bench) (reading, error) {
	return b.copy(ctx, b.workload.briefFile, briefColumns, func(url string) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		_, err = conn.Exec(ctx, briefSchema)
		return errors.Join(err, conn.Close(ctx))
	})
}

// copyIntoOwn measures psql's \copy into our events table: its partitions, indexes and triggers, but
// neither keys nor accounting nor ledger, which a copy has no use for.
func copyIntoOwn(ctx context.Context, b *bench) (reading, error) {
	return b.copy(ctx, b.workload.ownFile, ownColumns, func(url string) error { return b.migrate(ctx, url) })
}

func (b *bench) copy(ctx context.Context, file, columns string, prepare func(url string) error) (s reading, err error) {
	url, drop, err := b.postgres.Fresh(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := prepare(url); err != nil {
		return s, err
	}
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := b.postgres.Settle(ctx); err != nil {
		return s, err
	}

	began := time.Now()
	command := fmt.Sprintf(`\copy events (%s) FROM '%s'`, columns, file)
	psql := exec.CommandContext(ctx, b.postgres.psql, "-X", "-q", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", command)
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
