// Package maintain is the role that keeps the event store fast and ready for the months to come: it
// makes partitions ahead of time, moves what waits in GIN pending lists into the trees every few
// seconds, summarises BRIN indexes up to the last page, gives the planner statistics of a partition
// as soon as it holds enough to be worth it, and a btree by causation id once its time is over.
//
// Any number of processes may run it: the one whose session holds an advisory lock works, the others
// wait to take over. Nothing depends on it for correctness: an append makes a partition that is
// missing, and without upkeep queries are only slower. The SQL is in package store.
package maintain

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// defaultInterval is how often pending lists are cleaned: what gathers in between is what a query has to
// read row by row.
const defaultInterval = 3 * time.Second

// Dependencies are what the role works with.
type Dependencies struct {
	Pool  *pgxpool.Pool // of the role audittrail_maintain; makes partitions
	Owner *pgxpool.Pool // of the role audittrail_owner, at least one connection beside the lead's; see OwnerLockTimeout

	// Keys is of the role audittrail_maintain too, in the database of the keys. LetterDays is how long after a month
	// the key of its dead letters is destroyed; 0: never.
	Keys       *pgxpool.Pool
	LetterDays int

	Interval time.Duration // between two rounds; 0: 3 s
	Now      func() time.Time
	Log      *slog.Logger
	Metrics  prometheus.Registerer
}

// OwnerLockTimeout is the lock_timeout that the owner's pool must have: less than deadlock_timeout (1 s),
// after which PostgreSQL cancels an autovacuum that somebody waits for. Upkeep that asks every few
// seconds would else keep a busy partition from ever being vacuumed.
const OwnerLockTimeout = 500 * time.Millisecond

// Role is the role maintain; see lifecycle.Role.
type Role struct {
	deps    Dependencies
	metrics metrics
	outcome *lifecycle.Outcome
}

// errStarting is the health before the first round.
var errStarting = errors.New("has not looked at the database yet")

// New makes the role. It fails where the metrics are registered already.
func New(deps Dependencies) (*Role, error) {
	if deps.Interval <= 0 {
		deps.Interval = defaultInterval
	}
	if deps.Now == nil {
		deps.Now = time.Now
	}
	m, err := newMetrics(deps.Metrics)
	if err != nil {
		return nil, err
	}
	outcome := lifecycle.NewOutcome(deps.Log, errStarting, "upkeep failed, it will be tried again", "upkeep works again")
	return &Role{deps: deps, metrics: m, outcome: outcome}, nil
}

// Name implements lifecycle.Role.
func (r *Role) Name() string { return "maintain" }

// Health answers how the last round went. A process that waits to take over is healthy while the
// database answers.
func (r *Role) Health(context.Context) error {
	return r.outcome.Health()
}

// Run works until ctx ends. It is ready once it leads, or knows that somebody else does; a database
// that is away is waited for.
func (r *Role) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	lifecycle.Elect(ctx, r.deps.Interval, func(ctx context.Context) lifecycle.Term {
		session, lead, err := store.LeadUpkeep(ctx, r.deps.Owner)
		if err != nil || !lead {
			r.outcome.Note(ctx, err)
			if err == nil {
				ready()
			}
			return nil
		}
		r.metrics.leader.Set(1)
		r.deps.Log.InfoContext(ctx, "this process looks after partitions and indexes")
		ready()
		return &term{role: r, session: session, rounds: newRounds(r.deps, r.metrics, session)}
	})
	return nil
}

// term is this process's time in the lead; see lifecycle.Term.
type term struct {
	role    *Role
	session *store.Upkeep
	rounds  *rounds
}

func (t *term) Round(ctx context.Context) bool {
	t.role.outcome.Note(ctx, t.rounds.run(ctx))
	return !t.session.Lost()
}

func (t *term) Close(ctx context.Context) {
	t.rounds.indexes.close()
	t.role.metrics.leader.Set(0)
	t.role.metrics.ahead.Set(0)
	t.session.Close(ctx)
}
