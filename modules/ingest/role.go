package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

// Dependencies are what the role works with.
type Dependencies struct {
	Kafka  kafka.Options
	Store  Store
	Outbox Outbox                      // nil: dead letters are kept, but not published
	Ping   func(context.Context) error // whether PostgreSQL answers; nil: not asked

	Registry prometheus.Registerer // nil: no metrics
	Log      *slog.Logger          // nil: discards
	Now      func() time.Time      // nil: time.Now

	clientOptions []kgo.Opt // for tests
}

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
	named := slices.DeleteFunc(slices.Clone(d.Kafka.Topics), kafka.IsPattern)
	return &Role{
		options: o, deps: d, topics: topics, named: named,
		metrics: newMetrics(d.Registry, named), status: newStatus(d.Now),
	}, nil
}

// Name is "ingest".
func (r *Role) Name() string { return "ingest" }

// Run ingests until ctx ends, then appends what is buffered within `ingest.drain_timeout` and leaves the
// group. It fails where Kafka has lost or deleted records that were still to be stored: nobody but an
// operator can say what to do then.
func (r *Role) Run(ctx context.Context, ready func()) error {
	control, err := r.client("ingest_control", controlOptions())
	if err != nil {
		return err
	}
	defer control.Close()
	r.setControl(control)
	defer r.setControl(nil)

	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p := r.newPipeline(control, func(err error) { cancel(&failure{err}) })
	// The consumer outlives ctx, to put its work down; without Kafka it would take long over that.
	consuming, stopConsuming := context.WithCancel(context.WithoutCancel(ctx))
	defer stopConsuming()
	p.consumer, err = r.client("ingest", append(r.consumerOptions(p), kgo.WithContext(consuming)))
	if err != nil {
		return err
	}
	p.run(ctx, ready, r)
	p.leave(stopConsuming)
	var failed *failure
	if errors.As(context.Cause(ctx), &failed) {
		return failed.error
	}
	return nil
}

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

func (r *Role) newPipeline(control *kgo.Client, fail func(error)) *pipeline {
	p := &pipeline{
		options: r.options, named: r.named, store: r.deps.Store, now: r.deps.Now, log: r.deps.Log,
		metrics: r.metrics, status: r.status, control: control, fail: fail,
		leases: newLeases(r.options.Workers),
		budget: newBudget(r.options.MaxInFlightBytes),
		decode: make(chan *chunk, 2*runtime.GOMAXPROCS(0)),
	}
	for n := range r.options.Workers {
		p.workers = append(p.workers, &worker{pipeline: p, number: n, queue: make(chan *chunk, queueChunks), log: p.log.With("worker", n)})
	}
	return p
}

// run runs the stages until ctx ends, and then puts them down in the order of the records' flow.
func (p *pipeline) run(ctx context.Context, ready func(), r *Role) {
	var decoders, workers, aside sync.WaitGroup
	// Appends outlive ctx by the drain timeout: what is buffered then is stored, not read again.
	appending, stopAppending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAppending()
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() { p.decodeChunks(p.options.rules()) })
	}
	for _, w := range p.workers {
		workers.Go(func() { w.run(appending) })
	}
	aside.Go(func() { p.watch(ctx) })
	aside.Go(func() { r.announce(ctx, p.control, ready) })
	if r.deps.Outbox != nil {
		aside.Go(func() { newPublisher(r, p.control).run(ctx) })
	}

	aside.Go(func() {
		select {
		case <-ctx.Done():
			sleep(appending, p.options.DrainTimeout)
			stopAppending()
		case <-appending.Done():
		}
	})

	(&poller{pipeline: p, resting: map[kafka.TopicPartition]time.Time{}}).run(ctx, appending)

	close(p.decode)
	decoders.Wait()
	for _, w := range p.workers {
		close(w.queue)
	}
	workers.Wait()
	stopAppending()
	aside.Wait()
}

// leaveTimeout is how long telling the group may take.
const leaveTimeout = 2 * time.Second

// leave tells the group how far it got, and gives the partitions up. A static member stays in the
// group, so that its restart moves nothing.
func (p *pipeline) leave(stopConsuming func()) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	p.commit(ctx, map[*lease]int64{})
	p.consumer.AllowRebalance()
	if err := p.consumer.LeaveGroupContext(ctx); err != nil {
		p.log.Warn("could not leave the consumer group; others wait for the session timeout", "error", err)
		stopConsuming()
	}
	p.consumer.CloseAllowingRebalance()
}

// announce says that the role can work, once Kafka and PostgreSQL have answered.
func (r *Role) announce(ctx context.Context, control *kgo.Client, ready func()) {
	for try := 0; ; try++ {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		err := control.Ping(asking)
		if err == nil && r.deps.Ping != nil {
			err = r.deps.Ping(asking)
		}
		cancel()
		if err == nil {
			ready()
			return
		}
		if try%10 == 0 && ctx.Err() == nil {
			r.deps.Log.Warn("waiting for Kafka and PostgreSQL", "error", err)
		}
		if !sleep(ctx, backoff(try)) {
			return
		}
	}
}
