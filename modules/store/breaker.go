package store

import (
	"context"
	"time"
)

const (
	// breakAfter is how long a transaction waits before the stalled transactions that block it are ended.
	breakAfter = 3 * time.Second
	// A stalled process (SIGSTOP during COPY) keeps its locks, and no timeout of the server ends a COPY whose client
	// is silent. Only transactions that write events are ended, and only old ones.
	endBlockersSQL = `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
		WHERE pid = ANY (pg_blocking_pids($1)) AND application_name = ANY ($2)
		AND xact_start < clock_timestamp() - interval '10 s'`
)

// breakStalls ends stalled transactions that block the backend pid, until stop is called.
func (a *Appender) breakStalls(ctx context.Context, pid uint32) (stop func()) {
	if a.breaker == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTimer(breakAfter)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			tag, err := a.breaker.Exec(ctx, endBlockersSQL, int64(pid), []string{IngestApplication, RedriveApplication})
			switch {
			case err != nil && ctx.Err() == nil:
				a.log.WarnContext(ctx, "could not look for stalled transactions", "error", err)
			case tag.RowsAffected() > 0:
				a.log.WarnContext(ctx, "ended stalled transactions of another process", "count", tag.RowsAffected())
			}
			tick.Reset(time.Second)
		}
	}()
	return func() { cancel(); <-done }
}
