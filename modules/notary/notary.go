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
// Those who wait look each second at what they remember, too, and take over the checkpoints that are new
// in the database and signed with their keys, each proven: so a standby with a state file of its own
// is a second behind, refuses what the leader would refuse, and is not ready then, whoever leads.
//
// What is remembered only grows. Several processes may share a file; none ever puts a log in it back to a
// smaller size, and a process that runs writes a file again that was taken from under it.
//
// Only what is durable is signed. With synchronous standbys a COMMIT is seen by others only once the
// standbys have it, unless the backend that waits for them is terminated or cancelled: then all see what
// a failover would lose. So the notary makes a commit of its own between reading and remembering, which
// waits for the standbys and lies behind everything that was read; a failover to one of them loses
// nothing that was signed. After a failover that lost commits the refusal is right: somebody may hold a
// checkpoint of events that are gone. Who accepts that loss stops all notaries, moves all their state
// files away, and starts them again: they begin with the checkpoints in the database, and say so.
//
// It numbers the access log's batches as well, once a second. Tree and checkpoints are package ledger's,
// the SQL is package store's.
package notary

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
	"audittrail/platform/config"
	"audittrail/platform/lifecycle"
)

const (
	// numberEvery is how often batches of the access log get their positions and the patrols go on, and how
	// often a log is looked at at least.
	numberEvery = time.Second

	// stuckAfter is how long a round may take before the role is not ready: with a server that does not
	// answer, or a commit that waits for a standby, nothing is signed. Nor is it while it catches up.
	stuckAfter = 30 * time.Second

	minInterval, maxInterval = 10 * time.Millisecond, 24 * time.Hour
)

// Options are the keys below `notary`.
type Options struct {
	Interval  time.Duration `key:"interval" default:"1s" help:"least time between two checkpoints of a log"`
	StateFile string        `key:"state_file" default:".audittrail/notary.json" help:"what the notary has signed, outside the database, so that one that was rolled back is noticed; keep it on a disk that persists and is not restored together with the database; a relative path is below the working directory"`
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

	// Retired are keys of the same origin that nobody signs with any more. What they signed counts as signed.
	Retired ledger.Keys

	Log     *slog.Logger
	Metrics prometheus.Registerer
}

// Role is the role notary; see lifecycle.Role.
type Role struct {
	interval time.Duration
	origin   string
	signers  map[ledger.Log]*signer
	memory   memory
	path     string // of the memory
	lead     func(context.Context) (session, bool, error)
	rows     map[ledger.Log]reader // for a process that waits
	now      func() time.Time
	log      *slog.Logger
	metrics  metrics
	pace     time.Duration // between two steps of what is done whether or not a log has grown
	lap      time.Duration // least time between the starts of two patrols

	// Of Run's goroutine.
	patrols  map[ledger.Log]*patrol // outlive terms, so that no lost session ends a refusal
	known    State                  // what is in the memory, or was: see recall
	began    bool                   // has looked for the first time
	observed time.Time              // when it last looked while it waited
	led      bool                   // was the last one that led, as far as it knows

	mu     sync.Mutex
	health error
	noted  time.Time // when health was found
}

// errStarting is the health before the first round.
var errStarting = errors.New("has not looked at the logs yet")

// New makes the role. It fails where the state file is there, but is not one of these keys and this
// origin: that is a mistake in the configuration. It connects to nothing.
func New(o Options, deps Dependencies) (*Role, error) {
	if len(deps.Keys) == 0 {
		return nil, errors.New("notary: no key to sign with")
	}
	path, err := resolved(o.StateFile)
	if err != nil {
		return nil, fmt.Errorf("notary.state_file: %w", err)
	}
	r := &Role{
		interval: o.Interval, origin: deps.Keys[0].Origin(), signers: make(map[ledger.Log]*signer), rows: make(map[ledger.Log]reader),
		patrols: make(map[ledger.Log]*patrol),
		memory:  stateFile(path), path: path, now: time.Now, log: deps.Log, pace: numberEvery, lap: patrolLap, health: errStarting,
	}
	for _, log := range ledger.Logs() {
		s, err := newSigner(deps.Keys, deps.Retired, log)
		if err != nil {
			return nil, err
		}
		r.signers[log] = s
		r.rows[log] = store.NewLedger(deps.Pool, log)
		r.patrols[log] = &patrol{}
	}
	r.lead = func(ctx context.Context) (session, bool, error) { return leadStore(ctx, deps.Pool) }
	if _, _, err := r.recall(); err != nil {
		return nil, err
	}
	r.metrics, err = newMetrics(deps.Metrics, r.now)
	return r, err
}

// Name implements lifecycle.Role.
func (r *Role) Name() string { return "notary" }

// Health answers how the last round went: refusals, and what keeps it from signing. A process that waits to
// take over is healthy while the database answers, and fits what this process remembers.
func (r *Role) Health(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.now().Sub(r.noted); r.health == nil && since > stuckAfter {
		return fmt.Errorf("the notary has been at one step for %s: nothing is signed meanwhile", since.Truncate(time.Second))
	}
	return r.health
}

// Run works until ctx ends. It is ready once it has found all logs to fit what it remembers, whether it
// signs or somebody else does; a database that is away is waited for.
func (r *Role) Run(ctx context.Context, ready func()) error {
	ready = sync.OnceFunc(ready)
	r.log.InfoContext(ctx, "what the notary signs is remembered outside the database", "stateFile", r.path)
	lifecycle.Elect(ctx, min(r.interval, r.pace), func(ctx context.Context) lifecycle.Term {
		if t := r.begin(ctx, ready); t != nil {
			return t
		}
		return nil
	})
	return nil
}

// begin begins a term if the lead can be had. Otherwise it looks at the logs as a process that waits.
func (r *Role) begin(ctx context.Context, ready func()) *term {
	session, lead, err := r.lead(ctx)
	if err == nil && !lead {
		now := r.now()
		if now.Sub(r.observed) < r.pace-r.pace/4 {
			return nil
		}
		r.observed, r.led = now, false
		for _, p := range r.patrols { // whoever leads patrols
			p.rest()
		}
		err = r.observe(ctx)
	}
	if err != nil || !lead {
		r.note(ctx, err)
		if err == nil {
			ready()
		}
		return nil
	}
	r.metrics.leader.Set(1)
	t, err := r.open(ctx, session)
	if err != nil {
		(&term{watch: &watch{role: r}, session: session}).Close(ctx)
		r.note(ctx, err)
		return nil
	}
	t.ready = ready
	return t
}

// note keeps a round's outcome for Health, counts refusals, and logs what is another than the last time.
func (r *Role) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // stopping is no failure
	}
	r.mu.Lock()
	before := r.health
	r.health, r.noted = err, r.now()
	r.mu.Unlock()
	refusals, others := split(err)
	for _, one := range refusals {
		r.metrics.refusals.WithLabelValues(string(one.log), string(one.reason)).Inc()
	}
	refusalsBefore, othersBefore := split(before)
	if len(refusals) > 0 && kindsOf(refusals) != kindsOf(refusalsBefore) {
		r.log.ErrorContext(ctx, "the notary refuses to sign: the log is not an extension of what was signed", "error", err)
	}
	if other := errors.Join(others...); other != nil && (len(othersBefore) == 0 || errors.Join(othersBefore...).Error() != other.Error()) {
		r.log.WarnContext(ctx, "the notary could not do its work, it will be tried again", "error", other)
	}
	if err == nil && before != nil && !errors.Is(before, errStarting) {
		r.log.InfoContext(ctx, "the notary works again")
	}
}
