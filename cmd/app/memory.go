package app

import (
	"math"
	"runtime/debug"
	"slices"
)

// ingestMemory is the memory that Go's runtime is asked to stay within where a process only ingests. What
// is live is less; without a limit, garbage may double it. The program itself takes 20 MiB more.
const ingestMemory = 112 << 20

// limitMemory sets a soft limit for a process whose only role is ingest: its memory is bounded by the
// configuration, so collecting garbage sooner is enough to keep it there. What GOMEMLIMIT sets stays.
func limitMemory(cfg Config) (restore func()) {
	before := debug.SetMemoryLimit(-1)
	if before == math.MaxInt64 && slices.Equal(cfg.Roles, []string{"ingest"}) {
		debug.SetMemoryLimit(ingestMemory + int64(cfg.Ingest.MaxRecordBytes) + max(0, cfg.Ingest.MaxInFlightBytes-32<<20))
	}
	return func() { debug.SetMemoryLimit(before) }
}
