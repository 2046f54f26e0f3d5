package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/bench/internal/benchdb"
)

// ingestEvents measures our ingest of events that wait in Kafka.
func ingestEvents(ctx context.Context, b *bench) (reading, error) {
	n := len(b.workload.records)
	return b.ingest(ctx, topicAll, n, int64(n), nil)
}

// ingestHalfDuplicates measures our ingest where every second record was stored before.
func ingestHalfDuplicates(ctx context.Context, b *bench) (reading, error) {
	half := len(b.workload.records) / 2
	return b.ingest(ctx, topicRepeats, 2*half, int64(half), nil)
}

// ingest runs the program as a process of its own on an empty database. The clock starts when it has
// been given its partitions, before it fetches anything, and stops when every record is accounted for
// and no index owes work. observe, if not nil, is called when the clock has started, and what it answers
// before the process is stopped.
func (b *bench) ingest(ctx context.Context, topic string, records int, stored int64, observe func(*process) (finish func() error)) (s reading, err error) {
	url, drop, err := b.postgres.Fresh(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	if err := b.migrate(ctx, url); err != nil {
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

	launched := time.Now()
	p, err := b.serve(ctx, url, topic)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	if err := p.wait(ctx, conn, assigned, int64(b.opts.partitions), 5*time.Millisecond); err != nil {
		return s, err
	}
	began, cpu, kafkaCPU := time.Now(), cpuTime(p.pid()), cpuTime(b.kafka.pid)
	if observe != nil {
		finish := observe(p)
		defer func() { err = errors.Join(err, finish()) }()
	}
	if err := p.wait(ctx, conn, accounted, int64(records), 20*time.Millisecond); err != nil {
		return s, err
	}
	if err := benchdb.CleanPendingLists(ctx, conn); err != nil {
		return s, err
	}
	s = reading{
		Records: records, Seconds: time.Since(began).Seconds(), StartupS: began.Sub(launched).Seconds(),
		CPU: cpuTime(p.pid()) - cpu, KafkaCPU: cpuTime(b.kafka.pid) - kafkaCPU, PeakBytes: peakMemory(p.pid()),
	}
	if err := conn.QueryRow(ctx, "SELECT count(*) FROM events").Scan(&s.Stored); err != nil {
		return s, err
	}
	if s.Stored != stored {
		return s, fmt.Errorf("%d events are stored, not %d", s.Stored, stored)
	}
	return s, nil
}

// Questions that the clock asks. The table of offsets has one row a partition.
const (
	assigned  = "SELECT count(*) FROM ingest_offsets"
	accounted = "SELECT coalesce(sum(next_offset - first_offset), 0)::bigint FROM ingest_offsets"
)

// wait asks until the answer is want, or the process has ended.
func (p *process) wait(ctx context.Context, conn *pgx.Conn, question string, want int64, every time.Duration) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, errors.New("it takes too long"))
	defer cancel()
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		var got int64
		if err := conn.QueryRow(ctx, question).Scan(&got); err != nil {
			return errors.Join(err, context.Cause(ctx))
		}
		if got >= want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %d of %d", context.Cause(ctx), got, want)
		case <-p.exited:
			return fmt.Errorf("the process ended at %d of %d: %w", got, want, p.failure)
		case <-again.C:
		}
	}
}
