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
)

// Dependencies are what the role works with.
type Dependencies struct {
	Kafka  kafka.Options
	Store  Store
	Sealer sealer                      // nil: nothing is sealed
	Outbox Outbox                      // nil: dead letters are kept, but not published
	Ping   func(context.Context) error // whether PostgreSQL answers; nil: not asked

	Registry prometheus.Registerer // nil: no metrics
	Log      *slog.Logger          // nil: discards
	Now      func() time.Time      // nil: time.Now

	clientOptions []kgo.Opt     // for tests
	appendTimeout time.Duration // for tests; 0: the constant of that name
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
	if d.Sealer == nil {
		d.Sealer = protect.NewProtector()
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
