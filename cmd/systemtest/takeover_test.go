package systemtest

import (
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"audittrail/platform/longtest"
)

// TestPartitionsMove proves that partitions that move between processes, by processes that come, go in
// order and are killed under load, are written by one at a time.
func TestPartitionsMove(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	f := newFeed(s)
	stop := f.load(longtest.Choose[int64](t, 100, 400), 40*time.Millisecond)
	flags := []string{"--kafka.session_timeout", "6s", "--ingest.max_batch_events", "500"}
	stays := s.ingest("stays", flags...)
	s.beyond(0, 30*time.Second)
	for n := range longtest.Choose(t, 2, 3) { // of two, one leaves and one is killed
		guest := s.ingest(fmt.Sprintf("guest-%d", n), flags...)
		eventually(t, 30*time.Second, "the guest is ready", guest.ready)
		s.moves(30 * time.Second)
		if n == 1 {
			guest.kill()
		} else {
			guest.stop()
		}
		s.moves(30 * time.Second)
	}
	stop()
	s.caughtUp(time.Minute, stays)
	stays.stop()
	s.balanced()
	f.holdsAll()
}

// TestStalledInMidCopy proves that a process that is stopped (SIGSTOP: a long pause of a virtual
// machine) while PostgreSQL waits for the rest of its COPY does not hold its partitions for long: with
// default settings the other process has events of every partition within 15 s. And that the stopped
// one, when it goes on as a zombie, writes nothing that it may not.
func TestStalledInMidCopy(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	f := newFeed(s)
	f.send(t.Context(), 3_000)
	direct := s.url
	p := newProxy(t, direct)

	const copyData = 'd'
	stalls := newStall(p, func(kind byte, _ []byte) bool { return kind == copyData })
	t.Cleanup(stalls.release) // or the proxy's end would wait for it
	s.url = through(t, direct, p.address)
	zombie := s.ingest("zombie", "--ingest.max_batch_events", "500")
	s.url = direct
	s.caughtUp(time.Minute, zombie) // it owns all partitions
	heir := s.ingest("heir")
	eventually(t, 30*time.Second, "the heir is ready", heir.ready)
	// A member that is stopped while it hands partitions over is waited for as long as handing over may
	// take, by some brokers: here it stops at its daily work.
	heir.says("reading partition", 30*time.Second)
	stalls.arm(func() { zombie.signal(syscall.SIGSTOP) })
	stop := f.load(50, 40*time.Millisecond) // little: the time until all go on is to be the stall's, not the backlog's
	select {
	case <-stalls.happened:
	case <-time.After(30 * time.Second):
		t.Fatal("no COPY came by")
	}
	began := time.Now()
	s.everyPartitionMoves(15 * time.Second)
	t.Logf("every partition went on after %s", time.Since(began).Round(100*time.Millisecond))

	zombie.signal(syscall.SIGCONT)
	stalls.release()
	s.moves(30 * time.Second)
	eventually(t, time.Minute, "the zombie finds back", zombie.ready)
	s.moves(30 * time.Second)
	stop()
	s.caughtUp(time.Minute, zombie, heir)
	zombie.stop()
	heir.stop()
	s.balanced()
	f.holdsAll()
}

// stall stops a process at a message to PostgreSQL and holds the message back, as if it had not left the process.
type stall struct {
	mu       sync.Mutex
	action   func() // nil: not armed
	happened chan struct{}
	resumed  chan struct{}
	once     sync.Once // closes resumed
}

// newStall stops at the first message that is one of those, once it is armed.
func newStall(p *proxy, isOne func(kind byte, body []byte) bool) *stall {
	s := &stall{happened: make(chan struct{}), resumed: make(chan struct{})}
	p.toServer = func(kind byte, body []byte) bool {
		if !isOne(kind, body) || !s.take() {
			return true
		}
		close(s.happened)
		<-s.resumed
		return true
	}
	return s
}

func (s *stall) arm(action func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.action = action
}

func (s *stall) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.action == nil {
		return false
	}
	s.action()
	s.action = nil
	return true
}

func (s *stall) release() { s.once.Do(func() { close(s.resumed) }) }

// moves waits until more is accounted for than now.
func (s *stack) moves(within time.Duration) {
	s.t.Helper()
	now, err := s.next(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	s.beyond(now, within)
}
