package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchingest"
	"audittrail/modules/ledger"
)

const (
	topic = "bench-ledger"
	roles = "ingest"
)

// ingested is what one ingest of all events took. CPU times are seconds while the clock ran.
type ingested struct {
	Seconds   float64 `json:"seconds"` // until the index owes no work
	GoCPU     float64 `json:"goCpuSeconds"`
	ServerCPU float64 `json:"serverCpuSeconds"` // of all of PostgreSQL's processes
	KafkaCPU  float64 `json:"kafkaCpuSeconds"`
}

// cpu is what ingest uses of the cores; the broker's part of it is not ours.
func (a ingested) cpu() float64 { return a.GoCPU + a.ServerCPU }

// measureHashing ingests the same events with and without hashing, round by round.
func (b *bench) measureHashing(ctx context.Context, r *report) error {
	for round := range b.opts.Rounds {
		// Each takes the first place in turn, so that a machine that slows down slows both alike.
		for i := range 2 {
			hashed := (round+i)%2 == 0
			a, err := b.ingestOnce(ctx, hashed)
			if err != nil {
				return fmt.Errorf("round %d, hashing %t: %w", round+1, hashed, err)
			}
			r.add(hashed, a)
			benchingest.Progress("round %d of %d: ingest, hashing %-5t %8.0f events/s, CPU %.2f µs an event", round+1, b.opts.Rounds,
				hashed, float64(len(b.records))/a.Seconds, a.cpu()/float64(len(b.records))*1e6)
		}
	}
	return nil
}

func (b *bench) ingestOnce(ctx context.Context, hashed bool) (a ingested, err error) {
	url, drop, err := b.Database(ctx, b.programs[hashed])
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	return b.ingest(ctx, url, hashed)
}

// ingest lets one of the two programs ingest all events into an empty database with our tables.
func (b *bench) ingest(ctx context.Context, url string, hashed bool) (a ingested, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return a, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	if !hashed { // the table refuses a batch without leaves
		if _, err := conn.Exec(ctx, `ALTER TABLE ledger_batches DROP CONSTRAINT ledger_batches_check`); err != nil {
			return a, err
		}
	}
	n := len(b.records)
	got, err := b.Ingest(ctx, benchingest.Run{
		Program: b.programs[hashed], Roles: roles, Database: url, Topic: topic, Records: n, Stored: int64(n),
	})
	if err != nil {
		return a, err
	}
	var leaves, want int
	if hashed {
		want = n
	}
	const count = `SELECT coalesce(sum(octet_length(leaves)), 0) / $1 FROM ledger_batches WHERE log = 'events'`
	if err := conn.QueryRow(ctx, count, ledger.HashSize).Scan(&leaves); err != nil {
		return a, err
	}
	if leaves != want {
		return a, fmt.Errorf("%d leaves are stored, not %d", leaves, want)
	}
	return ingested{Seconds: got.Seconds, GoCPU: got.CPU, ServerCPU: got.ServerCPU, KafkaCPU: got.KafkaCPU}, nil
}
