package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/protect"
	"audittrail/platform/kafka"
	"audittrail/platform/telemetry"
)

// Dependencies are what the role works with.
type Dependencies struct {
	Kafka   kafka.Options
	Store   Store
	Sealer  sealer                      // nil: nothing is sealed
	Outbox  Outbox                      // nil: dead letters are kept, but not published
	Checker Checker                     // checks the accounting beside; nil: nobody does
	Ping    func(context.Context) error // whether PostgreSQL answers; nil: not asked

	Registry prometheus.Registerer // nil: no metrics
	Tracing  *telemetry.Tracing    // nil: records and batches have no spans
	Log      *slog.Logger          // nil: discards
	Now      func() time.Time      // nil: time.Now

	clientOptions []kgo.Opt     // for tests
	appendTimeout time.Duration // for tests; 0: the constant of that name
	watchEvery    time.Duration // for tests; 0: the constant of that name
}

// Checker runs beside ingest until ctx ends; see package reconcile.
type Checker interface{ Run(ctx context.Context) }

// Role is the role `ingest`.
type Role struct {
	options Options
	deps    Dependencies
	topics  []kgo.Opt
	named   []string // of the topics, those that are no patterns
	metrics *metrics
	status  *status

	mu      sync.RWMutex
	control *kgo.Client // while Run runs; held for reading while it is asked, so that it is not closed then
}

// New makes the role. It fails where the options contradict each other; it connects to nothing yet.
func New(o Options, d Dependencies) (*Role, error) {
	topics, err := subscription(d.Kafka.Topics, o.DLQSuffix)
	if err != nil {
		return nil, err
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	d.Log = d.Log.With("role", "ingest")
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Sealer == nil {
		d.Sealer = protect.NewProtector()
	}
	named := slices.DeleteFunc(slices.Clone(d.Kafka.Topics), kafka.IsPattern)
	return &Role{
		options: o, deps: d, topics: topics, named: named,
		metrics: newMetrics(d.Registry, named, d.Now), status: newStatus(d.Now),
	}, nil
}

// Name is "ingest".
func (r *Role) Name() string { return "ingest" }

// Run ingests until ctx ends, then appends what is buffered within `ingest.drain_timeout` and leaves the
// group. Where Kafka has lost or deleted records that were still to be stored, the partition stops and the others go
// on.
func (r *Role) Run(ctx context.Context, ready func()) error {
	control, err := r.client("ingest_control", controlOptions())
	if err != nil {
		return err
	}
	defer control.Close()
	r.setControl(control)
	defer r.setControl(nil)

	if r.deps.Checker != nil {
		var checking sync.WaitGroup
		defer checking.Wait()
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		checking.Go(func() { r.deps.Checker.Run(ctx) })
	}

	badge := &badge{}
	if !r.awaitBadge(ctx, badge) {
		return nil
	}
	ready = sync.OnceFunc(ready)
	for {
		err := r.session(ctx, control, badge, ready)
		var renewed *renewal
		if !errors.As(err, &renewed) {
			return err
		}
		r.deps.Log.Info("joining the consumer group anew", "reason", renewed.why)
	}
}

// session is one membership in the consumer group. It returns a *renewal where another one is to follow.
func (r *Role) session(ctx context.Context, control *kgo.Client, badge *badge, ready func()) error {
	r.status.reset()
	r.metrics.nothingStopped(r.named)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := r.newPipeline(control, badge, cancel)
	// The consumer outlives ctx, to put its work down; without Kafka it would take long over that.
	consuming, stopConsuming := context.WithCancel(context.WithoutCancel(ctx))
	defer stopConsuming()
	var err error
	p.consumer, err = r.client("ingest", append(r.consumerOptions(p), kgo.WithContext(consuming)))
	if err != nil {
		return err
	}
	p.run(ctx, ready, r)
	p.leave(stopConsuming)
	var (
		failed  *failure
		renewed *renewal
	)
	switch cause := context.Cause(ctx); {
	case errors.As(cause, &failed):
		return failed.error
	case errors.As(cause, &renewed):
		return renewed
	}
	return nil
}

// awaitBadge waits until the event store has said which installation it is: a process that can't say so must not
// join the group. It returns false where ctx ended first.
func (r *Role) awaitBadge(ctx context.Context, b *badge) bool {
	for try := 0; ; try++ {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		id, err := r.deps.Store.Installation(asking)
		cancel()
		if err == nil {
			r.status.has(troubleOffsets, nil)
			b.id.Store(&id)
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		r.status.has(troubleOffsets, err)
		if try%10 == 0 {
			r.deps.Log.Warn("waiting for PostgreSQL", "error", err)
		}
		if !sleep(ctx, backoff(try)) {
			return false
		}
	}
}

// renewal ends a session, and another one follows.
type renewal struct{ why string }

func (r *renewal) Error() string { return r.why }

func (r *Role) client(name string, opts []kgo.Opt) (*kgo.Client, error) {
	return kafka.NewClient(r.deps.Kafka, name, r.deps.Log, r.deps.Registry, append(opts, r.deps.clientOptions...)...)
}

// failure is an error that ends Run, told from a context that merely ended.
type failure struct{ error }

// pingTimeout is how long Kafka may take to answer; it also bounds how long Health may hold up the end of
// Run.
const pingTimeout = 2 * time.Second

// Health answers why the role can't do its work right now.
func (r *Role) Health(ctx context.Context) error {
	errs := []error{r.status.err(), r.pingKafka(ctx)}
	if r.deps.Ping != nil {
		if err := r.deps.Ping(ctx); err != nil {
			errs = append(errs, fmt.Errorf("PostgreSQL does not answer: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Notes are what an operator should know although the role can do its work.
func (r *Role) Notes() []string { return r.status.notes() }

func (r *Role) pingKafka(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	r.mu.RLock()
	defer r.mu.RUnlock()
	if r.control == nil {
		return errors.New("ingest is not running")
	}
	if err := r.control.Ping(ctx); err != nil {
		return fmt.Errorf("Kafka does not answer: %w", err) //nolint:staticcheck // a name
	}
	return nil
}

func (r *Role) setControl(c *kgo.Client) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.control = c
}
