// Package notary is the role that signs the ledger's checkpoints: when a log has grown it builds the
// tiles over the new leaves, proves that the log is what it signed last and more, and signs its new
// size and root. Every checkpoint is kept.
//
// It trusts nothing in the database. What it signed last it remembers outside of it, in a file, and a
// log that is not an extension of that (a database that was rolled back, forked, or whose leaves or
// tiles were changed) gets no signature: the role counts and logs a refusal and is not ready, until the
// log fits again. Between two checkpoints it patrols: it recomputes the whole log from its leaves, a
// slice at a time.
//
// Any number of processes may run it: the one whose session holds an advisory lock signs, the others
// wait to take over. A notary that refuses keeps the lock, so that no other one signs what it refused.
// A standby on another machine has a state file of its own, which catches up through the checkpoints
// in the database that its key signed, each proven.
//
// Only what is durable is signed: rows that are committed. With synchronous standbys a COMMIT is seen
// by others only once the standbys have it, so a failover to one of them loses nothing that was signed.
// After a failover that lost commits the refusal is right: somebody may hold a checkpoint of events
// that are gone.
//
// It numbers the access log's batches as well, once a second. Tree and checkpoints are package ledger's,
// the SQL is package store's.
package notary

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/config"
)

const (
	// numberEvery is how often batches of the access log get their positions and the patrols go on, and how
	// often a log is looked at at least.
	numberEvery = time.Second

	// closeTimeout bounds the farewell to the server when the role is stopped.
	closeTimeout = 2 * time.Second

	minInterval, maxInterval = 10 * time.Millisecond, 24 * time.Hour
)

// Options are the keys below `notary`.
type Options struct {
	Interval  time.Duration `key:"interval" default:"1s" help:"least time between two checkpoints of a log"`
	StateFile string        `key:"state_file" default:".audittrail/notary.json" help:"what the notary has signed, outside the database, so that one that was rolled back is noticed; keep it on a disk that is not restored together with the database"`
}

// Validate reports every key that can't work.
func (o Options) Validate() error {
	var bad []error
	if o.Interval < minInterval || o.Interval > maxInterval {
		bad = append(bad, config.Invalid("interval", "must be from %s to %s", minInterval, maxInterval))
	}
	if o.StateFile == "" {
		bad = append(bad, config.Invalid("state_file", "must name a file"))
	}
	return errors.Join(bad...)
}

// Dependencies are what the role works with.
type Dependencies struct {
	Pool *pgxpool.Pool       // of the role audittrail_notary; commits MUST be durable
	Keys []ledger.SigningKey // all sign; the first is the current one. All have the same origin

	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Role is the role notary; see lifecycle.Role.
type Role struct {
	interval time.Duration
	signers  map[ledger.Log]*signer
	memory   memory
	lead     func(context.Context) (session, bool, error)
	watch    map[ledger.Log]rows // for a process that waits
	now      func() time.Time
	log      *slog.Logger
	metrics  metrics
	pace     time.Duration // between two steps of what is done whether or not a log has grown
	lap      time.Duration // least time between the starts of two patrols

	mu     sync.Mutex
	health error
}

// errStarting is the health before the first round.
var errStarting = errors.New("has not looked at the logs yet")

// New makes the role. It fails where the state file is there, but is not one of these keys and this
// origin: that is a mistake in the configuration. It connects to nothing.
func New(o Options, deps Dependencies) (*Role, error) {
	if len(deps.Keys) == 0 {
		return nil, errors.New("notary: no key to sign with")
	}
	r := &Role{
		interval: o.Interval, signers: make(map[ledger.Log]*signer), watch: make(map[ledger.Log]rows),
		memory: stateFile(o.StateFile), now: time.Now, log: deps.Log, pace: numberEvery, lap: patrolLap, health: errStarting,
	}
	for _, log := range ledger.Logs() {
		s, err := newSigner(deps.Keys, log)
		if err != nil {
			return nil, err
		}
		r.signers[log] = s
		r.watch[log] = store.NewLedger(deps.Pool, log)
	}
	r.lead = func(ctx context.Context) (session, bool, error) { return leadStore(ctx, deps.Pool) }
	if _, _, err := r.recall(deps.Keys[0].Origin()); err != nil {
		return nil, err
	}
	var err error
	r.metrics, err = newMetrics(deps.Metrics, r.now)
	return r, err
}

// Name implements lifecycle.Role.
func (r *Role) Name() string { return "notary" }

// Health answers how the last round went: a refusal, or what keeps it from signing. A process that waits
// to take over is healthy while the database answers.
func (r *Role) Health(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.health
}

// Run works until ctx ends. It is ready once it has found all logs to fit what it signed, or knows that
// somebody else is the notary; a database that is away is waited for.
func (r *Role) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	tick := time.NewTicker(min(r.interval, r.pace))
	defer tick.Stop()
	for {
		r.attend(ctx, tick.C, ready)
		if !wait(ctx, tick.C) {
			return nil
		}
	}
}

// attend takes the lead if it can be had, and works until it is lost, something fails or ctx ends. All
// errors but refusals end it: the next attempt begins with what the file and the database really hold.
func (r *Role) attend(ctx context.Context, tick <-chan time.Time, ready func()) {
	session, lead, err := r.lead(ctx)
	if err == nil && !lead {
		err = r.observe(ctx)
	}
	if err != nil || !lead {
		r.note(ctx, err)
		if err == nil {
			ready()
		}
		return
	}
	r.metrics.leader.Set(1)
	defer r.leave(ctx, session)
	n, err := r.open(ctx, session)
	if err != nil {
		r.note(ctx, err)
		return
	}
	for {
		err := n.round(ctx)
		r.note(ctx, err)
		if err == nil {
			ready()
		}
		if err != nil && !refused(err) || session.Lost() || !wait(ctx, tick) {
			return
		}
	}
}

// observe keeps a waiting process's metrics true.
func (r *Role) observe(ctx context.Context) error {
	for log, rows := range r.watch {
		latest, _, err := rows.CheckpointUpTo(ctx, maxSize)
		if err != nil {
			return err
		}
		size, err := rows.Size(ctx)
		if err != nil {
			return err
		}
		r.metrics.size.WithLabelValues(string(log)).Set(float64(size))
		if latest.Size >= size {
			r.metrics.cover(log)
		}
	}
	return nil
}

func (r *Role) leave(ctx context.Context, s session) {
	r.metrics.leader.Set(0)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	_ = s.Close(ctx) // the lead is gone either way
}

// note keeps a round's outcome for Health, and logs it where it is another than the last one's.
func (r *Role) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // stopping is no failure
	}
	r.mu.Lock()
	before := r.health
	r.health = err
	r.mu.Unlock()
	switch {
	case refused(err):
		if kindOf(before) != kindOf(err) {
			r.log.ErrorContext(ctx, "the notary refuses to sign: the log is not an extension of what was signed", "error", err)
		}
	case err != nil && (before == nil || before.Error() != err.Error()):
		r.log.WarnContext(ctx, "nothing could be signed, it will be tried again", "error", err)
	case err == nil && before != nil && !errors.Is(before, errStarting):
		r.log.InfoContext(ctx, "the notary works again")
	}
}

func wait(ctx context.Context, tick <-chan time.Time) bool {
	select {
	case <-ctx.Done():
		return false
	case <-tick:
		return ctx.Err() == nil
	}
}
