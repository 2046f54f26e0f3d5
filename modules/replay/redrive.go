package replay

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
	"audittrail/platform/telemetry"
)

const (
	// redriveEvery is how often a process looks for redrives.
	redriveEvery = time.Second
	// redrivePage is how many dead letters one transaction redrives; the store bounds their bytes too.
	redrivePage = 500
)

// Reasons why a redrive fails beside those of events.
const (
	valueNotKept     event.Reason = "value_not_kept"
	kafkaUnavailable event.Reason = "kafka_unavailable"
)

// Letters is what the redriver asks of a [store.Letters].
type Letters interface {
	LeadRedrives(ctx context.Context) (*store.Lead, bool, error)
	NextRedrive(ctx context.Context) (store.RedriveRequest, bool, error)
	Untried(ctx context.Context, request int64, limit int) ([]store.DeadLetter, error)
	Tried(ctx context.Context, request int64, outcomes []store.RedriveOutcome, at time.Time) error
	Finished(ctx context.Context, request int64, at time.Time) error
}

// RedriveDependencies are what a Redriver works with.
type RedriveDependencies struct {
	Letters Letters
	Store   interface {
		Redrive(ctx context.Context, r store.RedriveRequest, letters []store.Redriven) ([]store.RedriveOutcome, error)
	}
	Sealer interface {
		Seal(ctx context.Context, events []event.Valid) ([]protect.Sealed, error)
	}
	Opener  *protect.Opener // opens values that are sealed; nil where there are no keys
	Source  *Source         // where values that are not kept are read again
	Rules   event.Rules
	Now     func() time.Time // nil: time.Now
	Log     *slog.Logger
	Metrics prometheus.Registerer // nil: no metrics
	Tracing *telemetry.Tracing    // nil: off
}

// Redriver tries the records of dead letters again, by the rules that hold now, as requests in the event store ask. It
// does so here and not in the API, which may not write events. Of all processes one works: the one that leads. If two
// should, each letter's fate lets one of them store it.
type Redriver struct {
	deps     RedriveDependencies
	outcomes *prometheus.CounterVec
	failures int // since something went well
}

// NewRedriver makes a Redriver. It fails where its metrics are registered already.
func NewRedriver(d RedriveDependencies) (*Redriver, error) {
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	r := &Redriver{deps: d, outcomes: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "audittrail_dead_letters_redriven_total",
		Help: "Dead letters that were tried again, by what became of them: stored, duplicate, failed, or decided by somebody else before."}, []string{"outcome"})}
	for _, what := range []string{store.RedriveStored, store.RedriveDuplicate, store.RedriveFailed, store.RedriveDecided} {
		r.outcomes.WithLabelValues(what)
	}
	if d.Metrics == nil {
		return r, nil
	}
	return r, d.Metrics.Register(r.outcomes)
}

// Run works until ctx ends.
func (r *Redriver) Run(ctx context.Context) {
	defer r.deps.Source.Close()
	lifecycle.Elect(ctx, redriveEvery, func(ctx context.Context) lifecycle.Term {
		lead, ok, err := r.deps.Letters.LeadRedrives(ctx)
		if err != nil {
			r.failed(ctx, err)
		}
		if err != nil || !ok {
			return nil
		}
		return &redriving{r, lead}
	})
}

// redriving is this process's time in the lead; see lifecycle.Term.
type redriving struct {
	*Redriver
	lead *store.Lead
}

func (t *redriving) Close(ctx context.Context) { t.lead.Close(ctx) }

// Round carries out all requests that there are.
func (t *redriving) Round(ctx context.Context) bool {
	for {
		if err := t.lead.Check(ctx); err != nil {
			t.failed(ctx, err)
			return false
		}
		request, ok, err := t.deps.Letters.NextRedrive(ctx)
		if err == nil && ok {
			err = t.carryOut(ctx, request)
		}
		if err != nil {
			t.failed(ctx, err)
			return false
		}
		if t.failures = 0; !ok {
			return true
		}
	}
}

// failed logs what keeps dead letters from being redriven, now and then.
func (r *Redriver) failed(ctx context.Context, err error) {
	if ctx.Err() == nil && r.failures%10 == 0 {
		r.deps.Log.WarnContext(ctx, "dead letters can't be redriven; trying again", "error", err)
	}
	r.failures++
}

func (t *redriving) carryOut(ctx context.Context, request store.RedriveRequest) error {
	for {
		letters, err := t.deps.Letters.Untried(ctx, request.ID, redrivePage)
		if err != nil {
			return err
		}
		if len(letters) == 0 {
			return t.deps.Letters.Finished(ctx, request.ID, t.deps.Now())
		}
		if err := t.redrive(ctx, request, letters); err != nil {
			return err
		}
		if err := t.lead.Check(ctx); err != nil { // it ends where it is idle for long
			return err
		}
	}
}

// redrive tries one page of a request's letters. It is one trace, with its statements.
func (r *Redriver) redrive(ctx context.Context, request store.RedriveRequest, letters []store.DeadLetter) (err error) {
	ctx, span := r.deps.Tracing.Root(ctx, "redrive page", attribute.Int64("audittrail.redrive", request.ID), attribute.Int("audittrail.dead_letters", len(letters)))
	defer func() {
		telemetry.Fail(span, err)
		span.End()
	}()
	var (
		tried    []int64
		valids   []event.Valid
		outcomes []store.RedriveOutcome
	)
	for i := range letters {
		valid, rejected, err := r.event(ctx, request, &letters[i])
		switch {
		case err != nil:
			return err
		case rejected != nil:
			outcomes = append(outcomes, store.RedriveOutcome{Letter: letters[i].ID, What: store.RedriveFailed,
				Reason: rejected.Reason, Field: rejected.Field, Detail: rejected.Detail})
		default:
			tried, valids = append(tried, letters[i].ID), append(valids, valid)
		}
	}
	sealed, err := r.deps.Sealer.Seal(ctx, valids)
	if err != nil {
		return err
	}
	events := make([]store.Redriven, len(sealed))
	for i, e := range sealed {
		events[i] = store.Redriven{Letter: tried[i], Event: e}
	}
	if len(events) > 0 {
		stored, err := r.deps.Store.Redrive(ctx, request, events)
		if err != nil {
			return err
		}
		outcomes = append(outcomes, stored...)
	}
	if err := r.deps.Letters.Tried(ctx, request.ID, outcomes, r.deps.Now()); err != nil {
		return err
	}
	for _, o := range outcomes {
		r.outcomes.WithLabelValues(o.What).Inc()
	}
	r.deps.Log.InfoContext(ctx, "dead letters were redriven", "redrive", request.ID, "tried", len(letters), "becameEvents", len(events))
	return nil
}

// event makes an event of one letter's record, or of the value that was given in its place.
func (r *Redriver) event(ctx context.Context, request store.RedriveRequest, letter *store.DeadLetter) (event.Valid, *event.Rejected, error) {
	raw := letter.Raw
	switch raw.Oversize = nil; {
	case request.Edited:
		value, err := r.open(ctx, request.SealedBy, raw.Coordinates, request.Value)
		if err != nil {
			return event.Valid{}, nil, err
		}
		if value == nil {
			return event.Valid{}, &event.Rejected{Raw: raw, Reason: valueNotKept, Detail: "the key of the value that was given was destroyed"}, nil
		}
		raw.Value = value
	case letter.Reason == event.TooLarge:
		again, rejected := r.deps.Source.Read(ctx, letter, r.deps.Rules.MaxRecordBytes)
		if rejected != nil {
			return event.Valid{}, rejected, ctx.Err()
		}
		raw = again
	case letter.SealedBy != nil:
		value, err := r.open(ctx, letter.SealedBy, raw.Coordinates, raw.Value)
		if err != nil {
			return event.Valid{}, nil, err
		}
		if value == nil {
			return event.Valid{}, &event.Rejected{Raw: raw, Reason: valueNotKept, Detail: "the key of the dead letter's value was destroyed"}, nil
		}
		raw.Value = value
	}
	decoded, rejected := event.Decode(raw)
	if rejected != nil {
		return event.Valid{}, rejected, nil
	}
	valid, rejected := decoded.Validate(r.deps.Rules, r.deps.Now())
	if rejected != nil {
		return event.Valid{}, rejected, nil
	}
	return valid.Redriven(event.Redrive{
		DeadLetter: letter.ID, By: request.By, Reason: request.Reason, Edited: request.Edited,
	}), nil, nil
}

// open returns a value, opened where it is sealed; nil where its key is destroyed.
func (r *Redriver) open(ctx context.Context, by *protect.KeyID, c event.Coordinates, value []byte) ([]byte, error) {
	switch {
	case by == nil:
		return value, nil
	case value == nil: // a record without a value has nothing to seal
		return []byte{}, nil
	case r.deps.Opener == nil:
		return nil, errors.New("a dead letter's value is sealed, and encryption.kek_url is not given")
	}
	return r.deps.Opener.OpenLetter(ctx, *by, c, value)
}
