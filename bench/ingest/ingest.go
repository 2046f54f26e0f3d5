package main

import (
	"cmp"
	"context"
	"errors"

	"audittrail/bench/internal/benchingest"
)

// The topics of the benchmark.
const (
	topicAll     = "bench-orders"
	topicRepeats = "bench-orders-repeated"
	topicTraced  = "bench-orders-traced"
)

// ingestEvents measures our ingest of events that wait in Kafka.
func ingestEvents(ctx context.Context, b *bench) (reading, error) {
	n := len(b.workload.records)
	return b.ingest(ctx, benchingest.Run{Topic: topicAll, Records: n, Stored: int64(n)})
}

// ingestHalfDuplicates measures our ingest where every second record was stored before.
func ingestHalfDuplicates(ctx context.Context, b *bench) (reading, error) {
	half := len(b.workload.records) / 2
	return b.ingest(ctx, benchingest.Run{Topic: topicRepeats, Records: 2 * half, Stored: int64(half)})
}

// ingestCounted measures our ingest of the same events by a process that keeps the analytics too.
func ingestCounted(ctx context.Context, b *bench) (reading, error) {
	n := len(b.workload.records)
	return b.ingest(ctx, benchingest.Run{Topic: topicAll, Records: n, Stored: int64(n), Roles: b.opts.roles + ",analytics", Counted: true})
}

// ingest runs the program on a database of its own.
func (b *bench) ingest(ctx context.Context, r benchingest.Run) (s reading, err error) {
	url, drop, err := b.Database(ctx, b.program)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	r.Program, r.Roles, r.Database = b.program, cmp.Or(r.Roles, b.opts.roles), url
	got, err := b.Ingest(ctx, r)
	return reading{
		Records: got.Records, Seconds: got.Seconds, StartupS: got.Startup,
		CPU: got.CPU, KafkaCPU: got.KafkaCPU, PeakBytes: got.PeakBytes, Stored: got.Stored,
		Behind: got.Behind, CaughtUp: got.CaughtUp,
	}, err
}
