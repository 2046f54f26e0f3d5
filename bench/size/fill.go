package main

import (
	"context"
	_ "embed"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

const (
	// years is how long the store has been there, by its partitions and its events' timestamps.
	years = 3

	// eventsPerOrder is how many a story of the sample has, a bit less so that no event lies in the future.
	eventsPerOrder = 9.3

	// stretch is how many events wait in a topic at once.
	stretch = 250_000
)

//go:embed open.sql
var openSQL string

//go:embed bytes.sql
var bytesSQL string

// kept is a store.
type kept struct {
	events    int    // when it was filled
	name, url string // of its database
	conn      *pgx.Conn
	key       string // that its notary signs with
	stateFile string // of its notary
}

// filled is what ingesting a stretch took.
type filled struct {
	Before  int64   `json:"eventsBefore"`
	Events  int     `json:"events"`
	Seconds float64 `json:"seconds"`
	Own     float64 `json:"cpuSeconds"`
	Server  float64 `json:"serverCPUSeconds"`
	WAL     int64   `json:"walBytes"`
	Images  int64   `json:"walFullPageImages"`
}

// open makes a store of n events, or what of it an earlier run has not made.
func (b *bench) open(ctx context.Context, n int) (*kept, error) {
	s := &kept{events: n, name: fmt.Sprintf("size_%d", n)}
	var err error
	if s.url, err = b.Server.Kept(ctx, s.name); err != nil {
		return nil, err
	}
	if s.conn, err = pgx.Connect(ctx, s.url); err != nil {
		return nil, err
	}
	if _, err := b.run(ctx, s, "migrate", "up"); err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	start := time.Date(now.Year()-years, now.Month(), 1, 0, 0, 0, 0, time.UTC)
	if _, err := s.conn.Exec(ctx, openSQL); err != nil {
		return nil, err
	}
	if _, err := s.conn.Exec(ctx, "SELECT pg_temp.installed_at($1)", start); err != nil {
		return nil, err
	}
	return s, b.fill(ctx, s, start)
}

// stored is how many events there are.
func (s *kept) stored(ctx context.Context) (n int64, err error) {
	err = s.conn.QueryRow(ctx, "SELECT coalesce(max(first_position + count), 0)::bigint FROM ledger_batches WHERE log = 'events'").Scan(&n)
	return n, err
}

func (b *bench) fill(ctx context.Context, s *kept, start time.Time) error {
	stored, err := s.stored(ctx)
	if err != nil {
		return err
	}
	interval := time.Duration(years * 365 * 24 * float64(time.Hour) * eventsPerOrder / float64(s.events))
	if stored >= int64(s.events) {
		return nil
	}
	if stored%stretch != 0 {
		return fmt.Errorf("filling was broken off at %d events, within a stretch: delete the folder of --data and begin again", stored)
	}
	generator := sample.New(sample.Options{Seed: 1, Start: start, Interval: interval})
	for range stored {
		generator.Next()
	}
	for records := range ahead(ctx, generator, s.events-int(stored)) {
		f, err := b.ingest(ctx, s, stored, records)
		if err != nil {
			return err
		}
		stored += int64(f.Events)
		benchingest.Progress("%d of %d: %.0f events/s, %.1f µs of CPU an event + %.1f of PostgreSQL, %.0f bytes of WAL (%d pages whole)", stored, s.events,
			float64(f.Events)/f.Seconds, f.Own*1e6/float64(f.Events), f.Server*1e6/float64(f.Events), float64(f.WAL)/float64(f.Events), f.Images)
	}
	return ctx.Err()
}

// ahead makes so many events, a stretch while the one before is ingested.
func ahead(ctx context.Context, g *sample.Generator, events int) <-chan []sample.Record {
	made := make(chan []sample.Record)
	go func() {
		defer close(made)
		for ; events > 0; events -= stretch {
			records := make([]sample.Record, min(stretch, events))
			for i := range records {
				records[i] = g.Next()
			}
			select {
			case made <- records:
			case <-ctx.Done():
				return
			}
		}
	}()
	return made
}

// ingest stores events by way of a topic of their own.
func (b *bench) ingest(ctx context.Context, s *kept, before int64, records []sample.Record) (f filled, err error) {
	topic := fmt.Sprintf("size-%d-%d", s.events, before)
	if err := b.Load(ctx, map[string][]sample.Record{topic: records}); err != nil {
		return f, err
	}
	const wal = "SELECT wal_bytes::bigint, wal_fpi FROM pg_stat_wal"
	var bytes, images int64
	if err := s.conn.QueryRow(ctx, wal).Scan(&bytes, &images); err != nil {
		return f, err
	}
	n := len(records)
	got, err := b.Ingest(ctx, benchingest.Run{Program: b.program, Roles: "ingest", Database: s.url, Topic: topic, Records: n, Stored: int64(n)})
	if err != nil {
		return f, err
	}
	f = filled{Before: before, Events: n, Seconds: got.Seconds, Own: got.CPU, Server: got.ServerCPU}
	if err := s.conn.QueryRow(ctx, wal).Scan(&f.WAL, &f.Images); err != nil {
		return f, err
	}
	f.WAL, f.Images = f.WAL-bytes, f.Images-images
	if _, err := s.conn.Exec(ctx, "INSERT INTO bench_fill VALUES ($1, $2, $3, $4, $5, $6, $7)", f.Before, f.Events, f.Seconds, f.Own, f.Server, f.WAL, f.Images); err != nil {
		return f, err
	}
	return f, b.Unload(ctx, topic)
}

// ingestMore ingests events of now, as the store would go on.
func (b *bench) ingestMore(ctx context.Context, s *kept) (f filled, err error) {
	stored, err := s.stored(ctx)
	if err != nil {
		return f, err
	}
	generator := sample.New(sample.Options{Seed: uint64(stored), Start: time.Now().Add(-2 * time.Hour), Interval: time.Second, Live: true})
	records := make([]sample.Record, b.opts.Events)
	for i := range records {
		records[i] = generator.Next()
	}
	return b.ingest(ctx, s, stored, records)
}

// sized is what a table or an index takes.
type sized struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"`
}

func (s *kept) bytes(ctx context.Context) ([]sized, error) {
	rows, _ := s.conn.Query(ctx, bytesSQL) // CollectRows reports the error
	return pgx.CollectRows(rows, pgx.RowToStructByPos[sized])
}

// fills are the stretches that the store was filled with, the last one last.
func (s *kept) fills(ctx context.Context) ([]filled, error) {
	rows, _ := s.conn.Query(ctx, "SELECT * FROM bench_fill ORDER BY before") // CollectRows reports the error
	return pgx.CollectRows(rows, pgx.RowToStructByPos[filled])
}
