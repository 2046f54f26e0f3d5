package systemtest

import (
	"math/rand/v2"
	"testing"
	"time"

	"audittrail/platform/longtest"
)

// TestKilledAtAnyMoment proves that a process that dies at any moment, between any two of its steps,
// loses nothing and doubles nothing: many times kill -9 while events come in, some in mid-start, some in
// mid-batch, each followed by a start that goes on from what PostgreSQL says.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	kills := longtest.Choose(t, 12, 30)
	s := newStack(t)
	f := newFeed(s)
	stop := f.load(longtest.Choose[int64](t, 100, 400), 40*time.Millisecond)
	// A name that survives restarts lets the next process take its partitions at once; and small
	// batches make more moments to die in.
	flags := []string{"--kafka.instance_id", "one", "--kafka.session_timeout", "6s", "--ingest.max_batch_events", "500"}
	rng := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())))
	moved := 0
	for n := range kills {
		before, err := s.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		p := s.ingest("ingest", flags...)
		if n%4 != 0 { // the others die in mid-start, or soon after
			s.beyond(before, 30*time.Second)
		}
		hold(t, time.Duration(rng.Int64N(int64(400*time.Millisecond))))
		p.alive()
		p.kill()
		after, err := s.next(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if after > before {
			moved++
		}
	}
	stop()
	p := s.ingest("last", flags...)
	s.caughtUp(time.Minute, p)
	p.stop()
	s.balanced()
	f.holdsAll()
	t.Logf("%d events, %d kills, %d of them after something was stored", f.sent, kills, moved)
}
