// Package analytics is the role that counts events while they come in, and the API's paths that answer from what it
// counted.
//
// One process of many leads (an advisory lock). It reads the ledger's positions in order, in batches, some moments after
// they were written, and adds each batch to tables of its own in one transaction that also moves a cursor. So every event
// is counted exactly once, whatever ends when; and since the events never change, all of it can be made again from the
// first event, to the same numbers. Nothing that is kept here is history: the events are.
//
// The SQL is in package store.
package analytics

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"

	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
	"audittrail/platform/telemetry"
)

// form is the form in which this release keeps what it counts. Raise it when that changes: what another release has
// counted is then forgotten, and counted again.
const form = 1

// defaultInterval is how long the leader waits for new events. Rollups may be 5 s behind. The fewer rounds, the fewer times
// is the row of a busy hour written, and the more of the cores has ingest (bench/ingest, ingest-analytics).
const defaultInterval = 3 * time.Second

// Dependencies are what the role works with.
type Dependencies struct {
	Pool        *pgxpool.Pool // of the role audittrail_analytics
	Interval    time.Duration // between two rounds; 0: 3 s
	Batch       int           // events a transaction, about; 0: 10,000
	DetectEvery time.Duration // how often anomalies are looked for; 0: once a minute
	Options     Options
	Now         func() time.Time // time.Now if nil
	Log         *slog.Logger
	Metrics     prometheus.Registerer
	Tracing     *telemetry.Tracing // nil: off
}

// Role is the role analytics; see lifecycle.Role.
type Role struct {
	deps    Dependencies
	metrics metrics
	hook    *hook
	outcome *lifecycle.Outcome
}

// errStarting is the health before the first round.
var errStarting = errors.New("has not looked at the database yet")

// New makes the role. It fails where the metrics are registered already.
func New(deps Dependencies) (*Role, error) {
	deps.Interval = cmp.Or(deps.Interval, defaultInterval)
	deps.Batch = cmp.Or(deps.Batch, countsBatch)
	deps.DetectEvery = cmp.Or(deps.DetectEvery, detectEvery)
	if deps.Now == nil {
		deps.Now = time.Now
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	outcome := lifecycle.NewOutcome(deps.Log, errStarting, "the analytics failed, they will be tried again", "the analytics work again")
	return &Role{deps: deps, metrics: m, hook: newHook(deps.Options.WebhookURL, deps.Log), outcome: outcome}, nil
}

// Name implements lifecycle.Role.
func (r *Role) Name() string { return "analytics" }

// Health answers how the last round went. A process that waits to take over is healthy while the database answers.
func (r *Role) Health(context.Context) error {
	return r.outcome.Health()
}

// Run works until ctx ends. It is ready once it leads, or knows that somebody else does; a database that is away is
// waited for.
func (r *Role) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	var posting sync.WaitGroup
	defer posting.Wait()
	posting.Go(func() { r.hook.run(ctx) })
	lifecycle.Elect(ctx, r.deps.Interval, func(ctx context.Context) lifecycle.Term {
		session, leads, err := store.LeadAnalytics(ctx, r.deps.Pool)
		r.note(ctx, err) // the database answers; a leader's first round may take hours
		if err == nil {
			ready()
		}
		if err != nil || !leads {
			return nil
		}
		r.metrics.leader.Set(1)
		r.deps.Log.InfoContext(ctx, "this process keeps the analytics")
		return &term{role: r, session: session}
	})
	return nil
}

// term is this process's time in the lead; see lifecycle.Term.
type term struct {
	role    *Role
	session *store.Analytics
	looked  time.Time // when anomalies were last looked for
}

// Round counts all that there is, and looks for anomalies now and then. It is one trace, with its statements.
func (t *term) Round(ctx context.Context) bool {
	ctx, span := t.role.deps.Tracing.Root(ctx, "analytics round")
	defer span.End()
	err := t.follow(ctx)
	if threshold := thresholds()[t.role.deps.Options.Sensitivity]; err == nil && threshold > 0 && time.Since(t.looked) >= t.role.deps.DetectEvery {
		t.looked = time.Now()
		err = t.detect(ctx, t.role.deps.Now(), threshold)
		span.SetAttributes(attribute.Bool("audittrail.looked_for_anomalies", true))
	}
	if errors.Is(err, store.ErrCursorMoved) { // the next round reads where it stands
		err = nil
	}
	telemetry.Fail(span, err)
	t.role.note(ctx, err)
	return !t.session.Lost()
}

// follow counts batch after batch until it has come to the end of the log. After each batch it rests for as long as the
// batch took, so that it never takes more than half of a processor from those who write.
func (t *term) follow(ctx context.Context) error {
	for ctx.Err() == nil {
		began := time.Now()
		more, err := t.countBatch(ctx)
		if err != nil || !more {
			return err
		}
		rest := time.NewTimer(time.Since(began))
		select {
		case <-ctx.Done():
		case <-rest.C:
		}
		rest.Stop()
	}
	return nil
}

// countBatch counts one batch, and reports whether there may be more.
func (t *term) countBatch(ctx context.Context) (bool, error) {
	began := time.Now()
	from, err := t.session.Cursor(ctx, cursorCounts, form)
	if err != nil {
		return false, err
	}
	facts, to, err := t.session.Facts(ctx, from, t.role.deps.Batch)
	if err != nil {
		return false, err
	}
	if to > from {
		if err := count(facts).save(ctx, t.session, from, to); err != nil {
			return false, err
		}
		t.role.metrics.counted(len(facts), time.Since(began))
	}
	t.role.metrics.position.Set(float64(to))
	return to-from >= int64(t.role.deps.Batch), nil
}

// Close implements lifecycle.Term.
func (t *term) Close(ctx context.Context) {
	t.role.metrics.leader.Set(0)
	t.role.metrics.position.Set(0)
	t.role.metrics.tellOpen(nil)
	t.session.Close(ctx)
}

// note keeps a round's outcome, and counts failures.
func (r *Role) note(ctx context.Context, err error) {
	if err != nil && ctx.Err() == nil {
		r.metrics.failures.Inc()
	}
	r.outcome.Note(ctx, err)
}
