package erase

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

const (
	// roundEvery is how often the worker looks for requests.
	roundEvery = time.Second

	// lateEvery is how often it looks for values that were sealed before an erasure and stored after its sweep, and
	// lateFor how old an erasure may be then. No process holds a batch back for as long.
	lateEvery = 10 * time.Minute
	lateFor   = 7 * 24 * time.Hour

	// openShreds is how many erasures of each state are under way at once.
	openShreds = 100
)

// Worker carries out the erasures that are requested, in one of the processes that have one.
type Worker struct {
	service *Service
	log     *slog.Logger
	done    prometheus.Counter
	pending prometheus.Gauge
	outcome *lifecycle.Outcome
}

// errStarting is the health until the journal was compared.
var errStarting = errors.New("the journal of erasures has not been compared with the database yet")

// NewWorker makes a Worker. It fails where the metrics are registered already.
func NewWorker(deps Dependencies, metrics prometheus.Registerer) (*Worker, error) {
	w := &Worker{
		log: deps.Log, outcome: lifecycle.NewOutcome(deps.Log, errStarting, "subjects can't be erased, it will be tried again", ""),
		done: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_shreds_total", Help: "Subjects that were erased, by this process.",
		}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_shreds_pending", Help: "Erasures that are requested and not done, at most 200; 0 in processes that do not carry them out: take the maximum over processes.",
		}),
	}
	deps.Done = w.done.Inc
	w.service = NewService(deps)
	if metrics == nil {
		return w, nil
	}
	return w, errors.Join(metrics.Register(w.done), metrics.Register(w.pending))
}

// Health is an error while the journal can't be compared, or erasures can't be carried out.
func (w *Worker) Health() error {
	return w.outcome.Health()
}

// Run works until ctx ends. It is ready once what the journal has is done in the database.
func (w *Worker) Run(ctx context.Context, ready func()) {
	defer w.service.Close()
	defer w.pending.Set(0)
	for !w.restored(ctx) {
		select {
		case <-ctx.Done():
			return
		case <-time.After(roundEvery):
		}
	}
	ready()
	lifecycle.Elect(ctx, roundEvery, func(ctx context.Context) lifecycle.Term {
		lead, ok, err := w.service.deps.Shreds.Lead(ctx)
		w.outcome.Note(ctx, err)
		if err != nil || !ok {
			return nil
		}
		return &term{worker: w, lead: lead}
	})
}

// restored compares the journal with the database, and reports whether all that it has is done.
func (w *Worker) restored(ctx context.Context) bool {
	entries, err := w.service.deps.Journal.Read()
	if err == nil && len(entries) > 0 {
		var again []event.ID
		if again, err = w.service.Restore(ctx, entries); len(again) > 0 {
			w.log.WarnContext(ctx, "the database lacked erasures of the journal: a backup was restored; they are done again", slog.Int("erasures", len(again)))
		}
	}
	w.outcome.Note(ctx, err)
	return err == nil
}

// term is this process's time in the lead; see lifecycle.Term.
type term struct {
	worker *Worker
	lead   *store.Lead
	looked time.Time // for late values
}

func (t *term) Round(ctx context.Context) bool {
	err := t.worker.round(ctx, t.lead)
	if now := time.Now(); err == nil && now.Sub(t.looked) >= lateEvery {
		if err = t.worker.late(ctx, t.lead, now.Add(-lateFor)); err == nil {
			t.looked = now
		}
	}
	t.worker.outcome.Note(ctx, err)
	return t.lead.Check(ctx) == nil
}

func (t *term) Close(ctx context.Context) {
	t.worker.pending.Set(0)
	t.lead.Close(ctx)
}

// round takes the next step of each erasure, while it leads. One that fails does not keep others from theirs.
func (w *Worker) round(ctx context.Context, lead *store.Lead) error {
	open, err := w.service.deps.Shreds.Open(ctx, openShreds)
	if err != nil {
		return err
	}
	w.pending.Set(float64(len(open)))
	var failed []error
	for _, shred := range open {
		if err := w.service.Advance(ctx, shred); err != nil {
			failed = append(failed, err)
		}
		if lead.Check(ctx) != nil { // steps may be long, and a silent leader is replaced
			break
		}
	}
	return errors.Join(failed...)
}

// late sweeps again where something was stored since. What it does not come to it leaves to the next look.
func (w *Worker) late(ctx context.Context, lead *store.Lead, since time.Time) error {
	late, err := w.service.deps.Shreds.Late(ctx, since, openShreds)
	for _, shred := range late {
		if err == nil && lead.Check(ctx) == nil {
			err = w.service.sweepLate(ctx, shred)
		}
	}
	return err
}
