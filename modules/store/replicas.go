package store

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
)

// Replica is a server that follows the primary and is read in its place.
type Replica struct {
	Name string // host:port, for logs and metrics

	// Pool is as ReaderOptions.Pool, to one server: what is found out about it must hold for all connections.
	Pool *pgxpool.Pool
}

// ReplicaOptions are what Replicas are made with.
type ReplicaOptions struct {
	Primary  *pgxpool.Pool // as ReaderOptions.Pool
	Replicas []Replica
	MaxLag   time.Duration // a replica that is further behind is not read
	Log      *slog.Logger
	Metrics  prometheus.Registerer // may be nil
}

// Replicas knows which replicas may be read: those that answer, follow the primary, and are at most MaxLag behind
// it. It says so only while Run runs. It is safe for concurrent use.
type Replicas struct {
	primary *primary
	maxLag  time.Duration
	log     *slog.Logger
	metrics replicaMetrics
	all     []*replica

	mu        sync.Mutex // guards all below, and the marked fields of each replica
	next      int        // where the next choice begins, so that equals take turns
	onPrimary int        // requests under way that read from the primary
	waiting   int        // requests that wait for a position
	changed   chan struct{}
}

// replica is one of them.
type replica struct {
	Replica
	poke chan struct{} // has it looked at soon; holds one

	// Guarded by Replicas.mu.
	usable    bool
	reason    string             // why it is not
	since     time.Time          // since when it is usable
	head      int64              // the position that it was last seen to have
	under     int                // requests under way that read from it
	reachable context.Context    //nolint:containedctx // it ends when the replica is lost, for whoever reads from it then
	lose      context.CancelFunc // of reachable
}

const (
	// slowStart is how long a replica that comes back may have one request at a time. Twice as many may read from it
	// after each further such time, so its memory fills before the whole load is back.
	slowStart = 250 * time.Millisecond

	// positionWait is how long a request waits for a replica to have the position that it asks for.
	positionWait = time.Second
)

// NewReplicas returns Replicas that are not read before Run has looked at them. It opens no connection.
func NewReplicas(o ReplicaOptions) (*Replicas, error) {
	metrics, err := newReplicaMetrics(o.Metrics, o.Replicas)
	if err != nil {
		return nil, err
	}
	s := &Replicas{
		primary: &primary{link: link{pool: o.Primary}, asked: make(chan struct{}, 1)}, maxLag: o.MaxLag, log: o.Log, metrics: metrics, changed: make(chan struct{}),
	}
	for _, one := range o.Replicas {
		r := &replica{Replica: one, poke: make(chan struct{}, 1), head: -1, reason: "it was not looked at yet"}
		r.reachable, r.lose = context.WithCancel(context.Background()) //nolint:fatcontext // each replica has one of its own
		r.lose()
		s.all = append(s.all, r)
	}
	return s, nil
}

// take returns the replica that a request reads from, or nil for the primary. leave MUST be called when the request
// is over. If replicas can be read but none has the position yet, take waits a second for it.
func (s *Replicas) take(ctx context.Context, need int64) (r *replica, leave func()) {
	timer := time.NewTimer(positionWait)
	defer timer.Stop()
	for waits := false; ; waits = true {
		s.mu.Lock()
		chosen, hope := s.pick(need)
		if chosen != nil || !hope {
			leave = s.enter(chosen)
			s.mu.Unlock()
			return chosen, leave
		}
		if !waits {
			s.waiting++
			defer s.leaveWait()
		}
		changed := s.changed
		for _, one := range s.all {
			one.hurry()
		}
		s.mu.Unlock()
		select {
		case <-changed:
		case <-timer.C:
			s.mu.Lock()
			leave = s.enter(nil)
			s.mu.Unlock()
			return nil, leave
		case <-ctx.Done():
			return nil, func() {}
		}
	}
}

// pick chooses among the replicas with the position the one with the fewest requests. It is nil if they are as busy
// as they may be and the primary is less so, or if no replica has the position; hope says that one may have it soon.
// s.mu MUST be held.
func (s *Replicas) pick(need int64) (best *replica, hope bool) {
	now := time.Now()
	for i := range s.all {
		r := s.all[(s.next+i)%len(s.all)]
		if !r.usable {
			continue
		}
		if r.head < need {
			hope = true
			continue
		}
		if r.under < r.allowed(now) && (best == nil || r.under < best.under) {
			best = r
		}
	}
	s.next++
	if best == nil {
		return nil, hope
	}
	if most := int(best.Pool.Config().MaxConns); best.under >= most && s.onPrimary < int(s.primary.link.pool.Config().MaxConns) {
		return nil, false
	}
	return best, false
}

// allowed is how many requests may read from the replica.
func (r *replica) allowed(now time.Time) int {
	steps := now.Sub(r.since) / slowStart
	if steps > 20 {
		return 1 << 20
	}
	return 1 << max(steps, 0)
}

// enter counts a request. s.mu MUST be held.
func (s *Replicas) enter(r *replica) (leave func()) {
	count := &s.onPrimary
	if r != nil {
		count = &r.under
	}
	*count++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		*count--
	}
}

func (s *Replicas) leaveWait() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting--
}

// hurry has the replica looked at soon.
func (r *replica) hurry() {
	select {
	case r.poke <- struct{}{}:
	default:
	}
}

// while returns a context that ends with ctx, and when the replica is lost.
func (r *replica) while(ctx context.Context, s *Replicas) (context.Context, context.CancelFunc) {
	s.mu.Lock()
	reachable := r.reachable
	s.mu.Unlock()
	bounded, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(reachable, cancel)
	return bounded, func() {
		stop()
		cancel()
	}
}
