// Package replay sends stored events to a target once more: the role replay, which works at the jobs, and the
// handlers of their paths in the API, which make them and ask them to stop.
//
// A job is a row. A worker holds it by a lease, renews the lease with each progress, and sends nothing once the lease
// may be another's. So a process that dies is followed by another one, which goes on where the stored progress ends:
// each event is sent at least once, and a repeat is known by its position. The SQL is in package store.
package replay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/store"
	"audittrail/platform/kafka"
	"audittrail/platform/lifecycle"
	"audittrail/platform/telemetry"
)

// Lease is how long a job is a worker's that does not say so again. Another one then takes it within a second.
const Lease = 10 * time.Second

const (
	// pollEvery is how often a process looks for a job.
	pollEvery = time.Second
	// saveEvery is how often a job's progress is stored where nothing is sent: wishes are heard as often.
	saveEvery = 250 * time.Millisecond
	// maxJobs is how many jobs a process works at.
	maxJobs = 4
)

// Jobs is the table of jobs.
type Jobs interface {
	Claim(ctx context.Context) (store.ReplayClaim, bool, error)
	Renew(ctx context.Context, c *store.ReplayClaim, p store.ReplayProgress) (store.ReplayAsked, error)
	End(ctx context.Context, c *store.ReplayClaim, state store.ReplayState, p store.ReplayProgress) error
	Failures(ctx context.Context, replay, after int64, limit int) ([]store.ReplayFailure, error)
	Ping(ctx context.Context) error
}

// Reader reads what is sent.
type Reader interface {
	Feed(ctx context.Context, f store.Filter, after int64, limit int) (store.FeedPage, error)
	FeedBatch(ctx context.Context, f store.Filter, after int64, limit, bytes int) (store.FeedPage, error)
}

// Dependencies are what the role works with.
type Dependencies struct {
	Jobs    Jobs
	Reader  Reader
	Targets *Targets
	Kafka   kafka.Options
	Webhook WebhookPatience // zeros: the usual

	// MaxRecordBytes is what ingest takes, so that what was stored can be ingested again.
	MaxRecordBytes int

	// Ingested lists the topics that ingest has ever read; nil: nobody asks.
	Ingested func(ctx context.Context) ([]string, error)

	// Redriver redrives dead letters beside; nil: nobody does.
	Redriver *Redriver

	Lease   time.Duration // that of Jobs; 0: Lease
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracing *telemetry.Tracing // nil: off
}

// Role is the role replay; see lifecycle.Role.
type Role struct {
	deps    Dependencies
	metrics metrics
	outcome *lifecycle.Outcome
}

var errStarting = errors.New("has not looked for jobs yet")

// New makes the role. It fails where the metrics are registered already.
func New(deps Dependencies) (*Role, error) {
	if deps.Lease == 0 {
		deps.Lease = Lease
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	outcome := lifecycle.NewOutcome(deps.Log, errStarting, "replays can't be looked for, it will be tried again", "")
	return &Role{deps: deps, metrics: m, outcome: outcome}, nil
}

// Name is "replay".
func (r *Role) Name() string { return "replay" }

// Health answers how the last look for jobs went. What a job waits for is in its row.
func (r *Role) Health(context.Context) error {
	return r.outcome.Health()
}

// Run works at jobs until ctx ends; then it gives them up, for another process to go on with.
func (r *Role) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	var working sync.WaitGroup
	defer working.Wait()
	if r.deps.Redriver != nil {
		working.Go(func() { r.deps.Redriver.Run(ctx) })
	}
	free := make(chan struct{}, maxJobs)
	look := time.NewTicker(pollEvery)
	defer look.Stop()
	for {
		for len(free) < maxJobs && ctx.Err() == nil {
			claim, ok, err := r.deps.Jobs.Claim(ctx)
			r.outcome.Note(ctx, err)
			if err == nil {
				ready()
			}
			if !ok {
				break
			}
			free <- struct{}{}
			working.Go(func() {
				defer func() { <-free }()
				r.metrics.running.Inc()
				defer r.metrics.running.Dec()
				newJob(r, claim).run(ctx)
			})
		}
		select {
		case <-ctx.Done():
			return nil
		case <-look.C:
		}
	}
}
