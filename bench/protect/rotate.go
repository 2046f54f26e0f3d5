package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchingest"
)

// rotated is what writing all keys anew took.
type rotated struct {
	Keys        int `json:"keys"`
	Plain, Ours *rewriting
}

// rewriting is one way of doing it.
type rewriting struct {
	Seconds   series `json:"seconds"`
	CPU       series `json:"cpuSeconds"`           // of our process
	ServerCPU series `json:"postgresqlCpuSeconds"` // of all of PostgreSQL's processes
}

// plainSQL writes all keys anew in one statement: what PostgreSQL needs for that alone.
const plainSQL = `WITH fresh AS (INSERT INTO wrapping_keys (id, wrapped) VALUES (gen_random_uuid(), '') RETURNING id)
	UPDATE subject_keys SET wrapped_by = fresh.id, wrapped = wrapped || ''::bytea FROM fresh`

// measureRotation measures `keys rotate --kek` beside the plain statement, each on a copy of the large store.
func (b *bench) measureRotation(ctx context.Context, r *report) error {
	large := b.stores[len(b.stores)-1]
	r.Rotation = &rotated{Keys: large.keys, Plain: &rewriting{}, Ours: &rewriting{}}
	for round := range b.opts.Rounds {
		if err := b.rewrite(ctx, large, r.Rotation.Plain, func(ctx context.Context, conn *pgx.Conn, _ string) (float64, error) {
			_, err := conn.Exec(ctx, plainSQL)
			return 0, err
		}); err != nil {
			return err
		}
		if err := b.rewrite(ctx, large, r.Rotation.Ours, b.rotate); err != nil {
			return err
		}
		benchingest.Progress("round %d of %d: %d keys in %.1f s, by one statement %.1f s", round+1, b.opts.Rounds,
			large.keys, r.Rotation.Ours.Seconds[round], r.Rotation.Plain.Seconds[round])
	}
	return nil
}

// rewrite writes the keys of a copy of the store anew.
func (b *bench) rewrite(ctx context.Context, of *keyStore, into *rewriting, by func(context.Context, *pgx.Conn, string) (float64, error)) (err error) {
	url, drop, err := b.Server.Copy(ctx, of.url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if err := b.Server.Settle(ctx); err != nil {
		return err
	}
	server := benchingest.Postmaster(conn)
	serverCPU, begun := benchingest.FamilyTime(server), time.Now()
	cpu, err := by(ctx, conn, url)
	if err != nil {
		return err
	}
	into.Seconds = append(into.Seconds, time.Since(begun).Seconds())
	into.CPU = append(into.CPU, cpu)
	into.ServerCPU = append(into.ServerCPU, benchingest.FamilyTime(server)-serverCPU)
	var left int64
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM subject_keys WHERE wrapped_by = (SELECT id FROM wrapping_keys ORDER BY created_at LIMIT 1)
		AND (SELECT count(*) FROM wrapping_keys) > 1`).Scan(&left); err != nil || left > 0 {
		return errors.Join(err, fmt.Errorf("%d keys are still wrapped by the former wrapping key", left))
	}
	return nil
}

// rotate runs `keys rotate --kek` as a process of its own, and returns its CPU time.
func (b *bench) rotate(ctx context.Context, _ *pgx.Conn, url string) (cpu float64, err error) {
	cmd := exec.CommandContext(ctx, b.program, "keys", "rotate", "--kek", "--from", kekURL('a'), "--postgres.url", url)
	cmd.Env = append(os.Environ(), "AUDITTRAIL_ENCRYPTION_KEK_URL="+kekURL('b'))
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("keys rotate: %w: %s", err, out)
	}
	return (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds(), nil
}
