package systemtest

import (
	"context"
	"errors"
	"testing"
	"time"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// memoryBound is what the ingest role may need while PostgreSQL is away and Kafka goes on, in bytes.
const memoryBound = 150 << 20

// TestPostgresAway proves that ingest waits out a minute (5 s in a quick run) without PostgreSQL while events keep coming:
// it says that it is not ready, its memory stays bounded, and when PostgreSQL is back it goes on by
// itself and has lost nothing.
func TestPostgresAway(t *testing.T) {
	t.Parallel()
	away := longtest.Choose(t, 5*time.Second, time.Minute)
	server := migratetest.Server(t)
	s := stackOn(t, server.URL())
	f := newFeed(s)
	p := s.ingest("ingest")
	stop := f.load(200, 40*time.Millisecond)
	s.beyond(0, 30*time.Second)

	server.Stop()
	eventually(t, 20*time.Second, "it says that it is not ready", func(ctx context.Context) error {
		if p.ready(ctx) == nil {
			return errors.New("it says that it is")
		}
		return nil
	})
	hold(t, away)
	p.alive()
	stop()
	f.send(t.Context(), 20_000)
	server.Start()
	began := time.Now()
	s.caughtUp(2*time.Minute, p)
	eventually(t, 20*time.Second, "it is ready again", p.ready)
	t.Logf("%d events were there %s after PostgreSQL was back; peak memory %d MiB",
		f.sent, time.Since(began).Round(100*time.Millisecond), p.peakMemory()>>20)
	if peak := p.peakMemory(); peak > memoryBound {
		t.Errorf("peak memory %d MiB, bound %d", peak>>20, memoryBound>>20)
	}
	p.stop()
	s.balanced()
	f.holdsAll()
}
