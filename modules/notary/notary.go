// Package notary is the role that signs the ledger's checkpoints. When a log has grown, it builds the tiles
// over the new leaves, proves that the log is an extension of what it signed last, and signs the new size and
// root. Every checkpoint is kept in the database.
//
// It trusts nothing in the database. It remembers its last checkpoint of each log, the head, in a file outside
// the database. If a log is not an extension of its head, the notary refuses: the database was rolled back or
// forked, or leaves or tiles were changed. It then signs nothing, counts and logs the refusal, and is not
// ready until the log fits again. Between two checkpoints it patrols: it recomputes the whole log from its
// leaves, slice by slice.
//
// Any number of processes may run it. The one that leads signs; the others wait to take over. A notary that
// refuses keeps the lead, so that no other one signs what it refused. Each waiting process also compares the
// logs with its heads every second. It adopts new checkpoints from the database if they are signed with its
// keys and it can prove them. So a waiting process with a state file of its own is at most about a second
// behind. It refuses what the leader would refuse, and is then not ready.
//
// A head only grows. Several processes may share a file. None sets a log in it back to a smaller size. If the
// file is removed while a process runs, the process writes it again.
//
// It signs only what is durable. With synchronous standbys, others see a COMMIT only once the standbys have it,
// unless the backend that waits for them is terminated or cancelled. Then everybody sees what a failover would
// lose. So the notary makes a commit of its own between reading and remembering. That commit waits for the
// standbys and comes after everything that was read. So a failover to one of them loses nothing that was
// signed. After a failover that lost commits the refusal is right, since somebody may hold a checkpoint of
// events that are gone. To accept the loss, an operator stops all notaries, moves all their state files away,
// and starts them again. They then begin with the checkpoints in the database, and say so.
//
// It also numbers the access log's batches, once a second. Tree and checkpoints are in package ledger, the SQL
// is in package store.
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
	// numberEvery is how often batches of the access log get their positions, the patrols go on, and each log
	// is at least examined.
	numberEvery = time.Second

	// stuckAfter is how long a round may take before the role is not ready. Nothing is signed while the server
	// does not answer, a commit waits for a standby, or the notary catches up.
	stuckAfter = 30 * time.Second

	minInterval, maxInterval = 10 * time.Millisecond, 24 * time.Hour
)

// Options are the keys below `notary`.
type Options struct {
	Interval  time.Duration `key:"interval" default:"1s" help:"least time between two checkpoints of a log"`
	StateFile string        `key:"state_file" default:".audittrail/notary.json" help:"what the notary has signed, outside the database, so that one that was rolled back is noticed; keep it on a disk that persists and is not restored together with the database; a relative path is below the working directory"`
}

// Validate reports every invalid key.
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

// Dependencies are what the role needs.
type Dependencies struct {
	Pool *pgxpool.Pool       // of the role audittrail_notary; commits MUST be durable
	Keys []ledger.SigningKey // all sign; the first is the current one. All have the same origin

	// Retired are keys of the same origin that nobody signs with any more. Their signatures still count.
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
	rows     map[ledger.Log]reader // for a process that does not lead
	now      func() time.Time
	log      *slog.Logger
	metrics  metrics
	pace     time.Duration // between two steps of the work that does not depend on a log's growth
	lap      time.Duration // least time between the starts of two patrols

	// Of Run's goroutine.
	patrols  map[ledger.Log]*patrol // kept from term to term, so that a lost session does not end a refusal
	known    State                  // what was in the memory when it was last read or saved: see recall
	began    bool                   // has examined the logs once
	observed time.Time              // when it last examined them without the lead
	led      bool                   // led when it last tried

	mu     sync.Mutex
	health error
	noted  time.Time // when health was found
}

// errStarting is the health before the first round.
var errStarting = errors.New("has not examined the logs yet")

// New returns the role. It fails if there is a state file but it is not of these keys and this origin, which is a
// mistake in the configuration. It makes no connection.
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

// Health returns the error of the last round: refusals, and what else kept it from signing. A process that waits
// to take over is healthy if the database answers and fits its heads.
func (r *Role) Health(context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since := r.now().Sub(r.noted); r.health == nil && since > stuckAfter {
		return fmt.Errorf("the notary has been at one step for %s: nothing is signed meanwhile", since.Truncate(time.Second))
	}
	return r.health
}

// Run works until ctx ends. It is ready once all logs fit their heads, whether this process signs or another one.
// It waits for a database that does not answer.
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

// begin begins a term if this process gets the lead. Otherwise it examines the logs as a waiting process.
func (r *Role) begin(ctx context.Context, ready func()) *term {
	session, lead, err := r.lead(ctx)
	if err == nil && !lead {
		now := r.now()
		if now.Sub(r.observed) < r.pace-r.pace/4 {
			return nil
		}
		r.observed, r.led = now, false
		for _, p := range r.patrols { // only the process that leads patrols
			p.abandon()
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

// note keeps a round's error for Health, counts refusals, and logs what differs from the round before.
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
		r.log.WarnContext(ctx, "the notary could not do its work and will try again", "error", other)
	}
	if err == nil && before != nil && !errors.Is(before, errStarting) {
		r.log.InfoContext(ctx, "the notary works again")
	}
}
