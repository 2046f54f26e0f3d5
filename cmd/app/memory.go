package app

import (
	"math"
	"runtime"
	"runtime/debug"
	"slices"
)

// ingestMemory is the memory that Go's runtime is asked to stay within where a process only ingests. What
// is live is less; without a limit, garbage may double it. The program itself takes 35 MiB more.
const ingestMemory = 104 << 20

// cgroupShare is the part of the container's memory that Go's runtime is asked to stay within. The rest is for what it
// does not count, as the program itself and the kernel's buffers.
const cgroupShare = 0.9

// limitMemory sets a soft limit, near which garbage is collected more often: that of the cgroup, so that a container is
// not killed for garbage, and a lower one for a process whose only role is ingest, whose memory is bounded by the
// configuration. What GOMEMLIMIT sets stays.
func limitMemory(cfg Config, cgroup func() (uint64, error)) (restore func()) {
	before := debug.SetMemoryLimit(-1)
	limit := before
	if before == math.MaxInt64 {
		if most, err := cgroup(); err == nil && most < math.MaxInt64 { // an error: there is no limit
			limit = int64(float64(most) * cgroupShare)
		}
		if slices.Equal(cfg.Roles, []string{"ingest"}) {
			limit = min(limit, ingestMemory+int64(cfg.Ingest.MaxRecordBytes)+max(0, cfg.Ingest.MaxInFlightBytes-32<<20))
		}
		debug.SetMemoryLimit(limit)
	}
	return func() { debug.SetMemoryLimit(before) }
}

// apiReserve is how much garbage may gather in a process with the API beside what Go's runtime lets gather.
const apiReserve = 32 << 20

// ReserveForAPI lets garbage gather in a process that serves the API, until it is called off. Little is live there,
// some 10 MiB, and collecting each time that garbage is as much takes a fifth of the API's CPU. The reserve counts as
// live to the collector; nothing ever writes to it, so it takes no memory itself. Unlike a higher GOGC it adds the
// same to a heap that has become large.
func ReserveForAPI() (callOff func()) {
	reserve := make([]byte, apiReserve)
	return func() { runtime.KeepAlive(reserve) }
}
