package query

import (
	"context"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/query/fold"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// foldTime bounds the folding of one answer, and foldHeld the bytes of events of one moment, which have to
// be held until their order is known.
const (
	foldTime = 15 * time.Second
	foldHeld = 64 << 20
)

var (
	errNoState = errs.New(errs.NotFound, "not_found", "the aggregate has no event by then")
	errFolding = errs.New(errs.TooExpensive, "query_too_expensive",
		"the aggregate has more events, or a larger state, than can be folded for one answer; read its events instead")
	errRule = errs.New(errs.Unprocessable, "state_rule_failed",
		"a rule of state.rules can't be applied to one of the events; errors names the event")
)

// moment is what a state is of: all events, or those up to a time, a version or a position.
type moment struct {
	at                time.Time // zero: any
	version, position int64     // math.MaxInt64: any
}

func anyMoment() moment { return moment{version: math.MaxInt64, position: math.MaxInt64} }

func (m moment) has(e *event.Stored) bool {
	return (m.at.IsZero() || !e.Timestamp.After(m.at)) && int64(e.Version) <= m.version && e.Position <= m.position
}

// end is the exclusive bound of the events to read.
func (m moment) end() time.Time {
	if m.at.IsZero() {
		return m.at
	}
	return m.at.Add(time.Microsecond)
}

// isPartial says that the moment's events are not the first ones in the order of the fold.
func (m moment) isPartial() bool { return m.version != math.MaxInt64 || m.position != math.MaxInt64 }

// GetAggregateState answers an aggregate's state at a moment.
func (h *Handlers) GetAggregateState(ctx context.Context, r httpapi.GetAggregateStateRequestObject) (httpapi.GetAggregateStateResponseObject, error) {
	when, err := stateMoment(r.Params)
	if err != nil {
		return nil, err
	}
	f := h.folding(r.Type, r.Id, when, false)
	if err := f.resume(ctx, when); err != nil {
		return nil, err
	}
	if err := f.run(ctx); err != nil {
		return nil, err
	}
	if err := f.reached(when, "version"); err != nil {
		return nil, err
	}
	httpserver.ShowEvents(ctx, f.versions.Events())
	return jsonAnswer(stateAnswer{
		AggregateType: r.Type, AggregateID: r.Id, Version: f.versions.Greatest(), Position: f.position,
		AsOf: event.FormatTime(f.asOf), State: f.fold.State(), Events: f.versions.Events(), Versions: versionsOf(f.versions.Report()),
	})
}

// stateMoment reads at, version and position, of which one may be given.
func stateMoment(p httpapi.GetAggregateStateParams) (moment, error) {
	when, given := anyMoment(), 0
	if p.At != nil {
		at, err := httpapi.TimeOf("at", p.At)
		if err != nil {
			return when, err
		}
		when.at, given = at, given+1
	}
	if p.Version != nil {
		when.version, given = int64(*p.Version), given+1
	}
	if p.Position != nil {
		when.position, given = *p.Position, given+1
	}
	if given > 1 {
		return when, invalid("at", "only one of at, version and position can be given")
	}
	return when, nil
}

// GetAggregateDiff answers what changed between two moments of an aggregate.
func (h *Handlers) GetAggregateDiff(ctx context.Context, r httpapi.GetAggregateDiffRequestObject) (httpapi.GetAggregateDiffResponseObject, error) {
	from, first, err := diffMoment("from", r.Params.From)
	if err != nil {
		return nil, err
	}
	to, second, err := diffMoment("to", r.Params.To)
	if err != nil {
		return nil, err
	}
	switch {
	case from.at.IsZero() != to.at.IsZero():
		return nil, invalid("to", "must be a time where from is one, and a version where from is one")
	case from.at.After(to.at), from.version > to.version:
		return nil, invalid("to", "must not be before from")
	}
	before, after := h.folding(r.Type, r.Id, from, false), h.folding(r.Type, r.Id, to, true)
	for _, f := range []*folding{before, after} { // the events of both are known from one moment on
		if err := f.resume(ctx, from); err != nil {
			return nil, err
		}
	}
	if before.until, err = h.reader.Head(ctx); err != nil {
		return nil, err
	}
	after.until = before.until // both see the same events
	if err := before.run(ctx); err != nil {
		return nil, err
	}
	if err := after.run(ctx); err != nil {
		return nil, err
	}
	if err := after.reached(to, "to"); err != nil {
		return nil, err
	}
	httpserver.ShowEvents(ctx, after.versions.Events())
	answer := diffAnswer{From: first, To: second, Changes: []changeAnswer{}, Versions: versionsOf(after.versions.Report())}
	for _, c := range after.fold.Since(before.fold.Mark()) {
		answer.Changes = append(answer.Changes, changeAnswer{c.Op, c.Path, c.Value, c.Event.String()})
	}
	return jsonAnswer(answer)
}

// diffMoment reads a bound of a diff, and answers it as JSON too: a whole number is a version, anything
// else a time.
func diffMoment(field, text string) (moment, jsontext.Value, error) {
	when := anyMoment()
	if n, err := strconv.ParseInt(text, 10, 32); err == nil && n >= 0 && strconv.FormatInt(n, 10) == text {
		when.version = n
		return when, jsontext.Value(text), nil
	}
	at, err := httpapi.TimeOf(field, &text)
	if err != nil {
		return when, nil, invalid(field, "must be an RFC 3339 time, or a version: a whole number from 0 to 2147483647")
	}
	when.at = at
	return when, jsontext.Value(`"` + event.FormatTime(at) + `"`), nil
}

// folding is a fold of an aggregate's events, read page by page.
type folding struct {
	reader   stateReader
	rules    *fold.Rules
	changes  bool
	filter   store.Filter
	when     moment
	until    int64 // the last position that is part of the answer; -1 where it is not known yet
	fold     *fold.Fold
	versions fold.Versions
	asOf     time.Time // the last event's timestamp
	position int64     // the greatest one
	top      int32     // the greatest version there is, also beyond the moment
	held     []event.Stored
	bytes    int // of held
	every    int // after how many events the state is kept; 0 for never
	kept     int // how many events the last state that is kept has
}

func (h *Handlers) folding(aggregateType, id string, when moment, changes bool) *folding {
	return &folding{
		reader: h.reader, filter: store.Filter{AggregateType: aggregateType, AggregateID: id, To: when.end()},
		when: when, until: -1, fold: fold.New(h.rules, changes), position: -1,
		rules: h.rules, changes: changes, every: h.snapshotEvery,
	}
}

// run folds the events by (timestamp, position). Events that are stored meanwhile are no part of it.
func (f *folding) run(ctx context.Context) error {
	bounded, cancel := context.WithTimeout(ctx, foldTime)
	defer cancel()
	err := f.read(bounded)
	var failed *fold.RuleError
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case errors.Is(err, fold.ErrTooLarge), bounded.Err() != nil:
		return errFolding.Because(err)
	case errors.As(err, &failed):
		return errRule.InField(failed.Event.String()).Because(err)
	}
	return err
}

func (f *folding) read(ctx context.Context) error {
	if f.until < 0 {
		head, err := f.reader.Head(ctx)
		if err != nil {
			return err
		}
		f.until = head
	}
	for page, err := range f.reader.Export(ctx, f.filter, store.Ascending, "", f.until+1) {
		if err != nil {
			return err
		}
		for i := range page {
			if err := f.take(ctx, page[i]); err != nil {
				return err
			}
		}
	}
	return f.release(ctx)
}

// take holds an event until all of its moment are there: lists have them by row id, which is not the order
// of positions.
func (f *folding) take(ctx context.Context, e event.Stored) error {
	f.top = max(f.top, e.Version)
	if !f.when.has(&e) {
		return nil
	}
	if len(f.held) > 0 && !f.held[0].Timestamp.Equal(e.Timestamp) {
		if err := f.release(ctx); err != nil {
			return err
		}
	}
	f.held = append(f.held, e)
	if f.bytes += 500 + len(e.Payload) + len(e.Metadata); f.bytes > foldHeld {
		return fold.ErrTooLarge
	}
	return nil
}

func (f *folding) release(ctx context.Context) error {
	slices.SortFunc(f.held, func(a, b event.Stored) int { return int(a.Position - b.Position) })
	for i := range f.held {
		e := &f.held[i]
		f.versions.Add(e)
		f.asOf, f.position = e.Timestamp, max(f.position, e.Position)
		if err := f.fold.Apply(ctx, e); err != nil {
			return err
		}
	}
	clear(f.held)
	f.held, f.bytes = f.held[:0], 0
	f.keep(ctx)
	return nil
}

// reached is an error where the aggregate has not come to the moment.
func (f *folding) reached(when moment, field string) error {
	if f.versions.Events() == 0 {
		return errNoState
	}
	if when.version != math.MaxInt64 && when.version > int64(f.top) {
		return errs.New(errs.NotFound, "not_found", "%s: the aggregate has no version that great yet", field)
	}
	return nil
}
