package main

import (
	"context"

	"audittrail/bench/internal/benchingest"
)

// profile takes a CPU profile of the ingest process over one more measurement.
func (b *bench) profile(ctx context.Context, path string) error {
	n := len(b.workload.records)
	s, err := b.ingest(ctx, benchingest.Run{Topic: topicAll, Records: n, Stored: int64(n), Observe: benchingest.Profiling(ctx, path)})
	if err == nil {
		benchingest.Progress("profiled at %.0f records/s", s.rate())
	}
	return err
}
