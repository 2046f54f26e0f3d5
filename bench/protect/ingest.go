package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchingest"
	"audittrail/modules/sample"
)

const (
	topic = "bench-sealed"
	roles = "ingest"
)

// ingested is ingest with so many sealed fields an event.
type ingested struct {
	Fields    int    `json:"sealedFields"`
	Rate      series `json:"eventsPerSecond"`
	CPU       series `json:"cpuMicrosPerEvent"`           // of the ingest process
	ServerCPU series `json:"postgresqlCpuMicrosPerEvent"` // of all of PostgreSQL's processes
	PeakMiB   series `json:"peakMiB"`
	Subjects  int64  `json:"subjects"` // that have a key afterwards
}

// measureIngest measures ingest of the same events with 0, 2 and 8 sealed fields, in turns, each on an empty database.
func (b *bench) measureIngest(ctx context.Context, r *report) error {
	if err := b.StartBroker(ctx); err != nil {
		return err
	}
	if err := b.Load(ctx, map[string][]sample.Record{topic: b.records}); err != nil {
		return err
	}
	for _, sealed := range []int{0, 2, len(fields())} {
		r.Ingest = append(r.Ingest, &ingested{Fields: sealed})
	}
	for round := range b.opts.Rounds {
		for _, one := range r.Ingest {
			if err := b.ingest(ctx, one, nil); err != nil {
				return fmt.Errorf("%d fields: %w", one.Fields, err)
			}
			benchingest.Progress("round %d of %d: ingest, %d sealed fields: %.0f events/s, %.1f µs of our CPU an event", round+1, b.opts.Rounds,
				one.Fields, one.Rate[round], one.CPU[round])
		}
	}
	if b.opts.profile != "" {
		if err := b.ingest(ctx, &ingested{Fields: len(fields())}, benchingest.Profiling(ctx, b.opts.profile)); err != nil {
			return fmt.Errorf("profile: %w", err)
		}
	}
	return nil
}

func (b *bench) ingest(ctx context.Context, into *ingested, observe func(string) func() error) (err error) {
	url, drop, err := b.Database(ctx, b.program)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, drop()) }()
	run := benchingest.Run{Program: b.program, Roles: roles, Database: url, Topic: topic,
		Records: len(b.records), Stored: int64(len(b.records)), Observe: observe}
	if into.Fields > 0 {
		path, err := b.configure(into.Fields)
		if err != nil {
			return err
		}
		run.Env = []string{"AUDITTRAIL_CONFIG=" + path}
	}
	got, err := b.Ingest(ctx, run)
	if err != nil {
		return err
	}
	events := float64(got.Records)
	into.Rate = append(into.Rate, events/got.Seconds)
	into.CPU = append(into.CPU, got.CPU/events*1e6)
	into.ServerCPU = append(into.ServerCPU, got.ServerCPU/events*1e6)
	into.PeakMiB = append(into.PeakMiB, float64(got.PeakBytes)/(1<<20))
	into.Subjects, err = checkSealed(ctx, url, into.Fields)
	return err
}

// checkSealed fails unless each event has as many sealed values as it should, and returns how many subjects have a key.
func checkSealed(ctx context.Context, url string, fields int) (subjects int64, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, conn.Close(context.WithoutCancel(ctx))) }()
	var unlike int64
	if err := conn.QueryRow(ctx, `SELECT count(*) FROM events WHERE (length(payload::text) - length(replace(payload::text, '"$sealed"', ''))) / 9 <> $1`,
		fields).Scan(&unlike); err != nil {
		return 0, err
	}
	if unlike > 0 {
		return 0, fmt.Errorf("%d events do not have %d sealed values", unlike, fields)
	}
	return subjects, conn.QueryRow(ctx, `SELECT count(*) FROM subject_keys WHERE id NOT IN (SELECT key FROM letter_keys)`).Scan(&subjects)
}
