package reconcile

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/store"
	"audittrail/modules/store/audit"
	"audittrail/platform/kafka"
	"audittrail/platform/lifecycle"
)

const (
	// lookEvery is how often a process asks for the lead, or whether it still has it.
	lookEvery = 5 * time.Second

	// kafkaEvery is how often the accounting is compared with Kafka. That costs two requests and a few rows.
	kafkaEvery = time.Minute

	// settle is how long a leader waits before its first check: a process that starts has other work, and ingest does
	// not know new partitions yet.
	settle = time.Minute

	// looksToTell is at how many looks in a row Kafka has to contradict before the log says so: a partition that was
	// just made is unknown for a moment.
	looksToTell = 2

	// share bounds the part of its time in which a leader reads all tables: the pause is so many times as long as
	// the check was.
	share = 9
)

// Dependencies are what a Checker works with.
type Dependencies struct {
	Pool    *pgxpool.Pool           // of the role audittrail_ingest; read-only is enough
	Kafka   kafka.Options           // to compare with
	Wanted  func(topic string) bool // see Connect
	Every   time.Duration           // between two checks of the tables
	Now     func() time.Time        // nil: time.Now
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: none

	lookEvery, kafkaEvery, settle time.Duration // for tests; 0: the constants
}

// Checker reconciles now and then. Of all processes that run one, the leader works and the others wait to take over.
type Checker struct {
	deps    Dependencies
	metrics metrics
}

// NewChecker makes a Checker. It fails where the metrics are registered already.
func NewChecker(deps Dependencies) (*Checker, error) {
	if deps.Now == nil {
		deps.Now = time.Now
	}
	if deps.lookEvery == 0 {
		deps.lookEvery, deps.kafkaEvery, deps.settle = lookEvery, kafkaEvery, settle
	}
	m, err := newMetrics(deps.Metrics)
	return &Checker{deps, m}, err
}

// Run checks until ctx ends.
func (c *Checker) Run(ctx context.Context) {
	var before error
	lifecycle.Elect(ctx, c.deps.lookEvery, func(ctx context.Context) lifecycle.Term {
		lead, ok, err := store.LeadReconcile(ctx, c.deps.Pool)
		if err != nil && before == nil && ctx.Err() == nil {
			c.deps.Log.WarnContext(ctx, "the accounting can't be checked, it will be tried again", "error", err)
		}
		if before = err; err != nil || !ok {
			return nil
		}
		cluster, err := Connect(c.deps.Kafka, patienceOfCheck, c.deps.Wanted, c.deps.Log)
		if err != nil {
			c.deps.Log.ErrorContext(ctx, "the accounting can't be compared with Kafka", "error", err)
			lead.Close(ctx)
			return nil
		}
		first := c.deps.Now().Add(c.deps.settle)
		return &term{Checker: c, lead: lead, cluster: cluster, tablesDue: first, kafkaDue: first, found: map[string]int{}}
	})
}

// term is this process's time in the lead; see lifecycle.Term.
type term struct {
	*Checker
	lead    *store.Lead
	cluster *Cluster

	tablesDue, kafkaDue time.Time
	found               map[string]int // in how many checks in a row something did not fit
}

// Round checks what is due. All statements go through the session that leads, so a process that has lost the lead
// checks nothing.
func (t *term) Round(ctx context.Context) bool {
	if err := t.lead.Check(ctx); err != nil {
		return false
	}
	now := t.deps.Now()
	if !now.Before(t.kafkaDue) {
		t.kafkaDue = now.Add(t.deps.kafkaEvery)
		t.note(ctx, sideKafka, t.compareWithKafka)
	}
	if !now.Before(t.tablesDue) {
		t.note(ctx, sideTables, t.compareTables)
		took := t.deps.Now().Sub(now)
		t.tablesDue = now.Add(took + max(t.deps.Every-took, share*took))
	}
	return !t.lead.Lost()
}

// Close ends the term. The other processes say 0, and so does this one from now on.
func (t *term) Close(ctx context.Context) {
	t.metrics.reset()
	t.cluster.Close()
	t.lead.Close(ctx)
}

// compareTables compares the tables with each other. It reads all events.
func (t *term) compareTables(ctx context.Context) (*audit.Reconciliation, error) {
	return audit.Reconcile(ctx, t.lead, nil)
}

// compareWithKafka compares the partitions' positions with their logs.
func (t *term) compareWithKafka(ctx context.Context) (*audit.Reconciliation, error) {
	comparison, err := t.cluster.Begin(ctx, t.lead)
	if err != nil {
		return nil, err
	}
	if comparison.Why != "" {
		return nil, comparison.Err()
	}
	positions, err := store.ReadPositions(ctx, t.lead)
	if err != nil {
		return nil, err
	}
	report := audit.OfPositions(positions)
	comparison.compare(ctx, positions, report)
	if !comparison.HasLogs() && comparison.Why != "" {
		return nil, comparison.Err()
	}
	t.metrics.unread.Set(float64(report.ToRead))
	t.metrics.oldest.Set(t.age(ctx, comparison, positions))
	return report, comparison.Err()
}

// age is for how many seconds the oldest unread record has been in Kafka.
func (t *term) age(ctx context.Context, c *Comparison, positions store.Positions) float64 {
	oldest := c.oldestUnread(ctx, positions)
	if oldest.IsZero() {
		return 0
	}
	return max(0, t.deps.Now().Sub(oldest).Seconds())
}

// note runs a check, and tells its outcome. A report with an error is one of a part: it counts, and the check has
// failed all the same.
func (t *term) note(ctx context.Context, side string, check func(context.Context) (*audit.Reconciliation, error)) {
	report, err := check(ctx)
	if ctx.Err() != nil {
		return // stopping is no failure
	}
	if err != nil {
		t.metrics.runs.WithLabelValues(side, outcomeFailed).Inc()
		t.deps.Log.WarnContext(ctx, "the accounting was not checked, or not all of it; it will be tried again", "against", side, "error", err)
	} else {
		t.metrics.runs.WithLabelValues(side, outcomeDone).Inc()
	}
	if report == nil {
		return
	}
	n := int64(len(report.Discrepancies)) + report.Unlisted
	t.metrics.discrepancies.WithLabelValues(side).Set(float64(n))
	if n == 0 {
		t.found[side] = 0
		return
	}
	if t.found[side]++; side == sideTables && t.found[side] == 1 || side == sideKafka && t.found[side] == looksToTell {
		first := report.Discrepancies[0]
		t.deps.Log.ErrorContext(ctx, "the accounting does not balance: run audittrail reconcile",
			"against", side, "discrepancies", n, "check", first.Check, "place", first.Place())
	}
}
