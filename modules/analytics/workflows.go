package analytics

import (
	"bytes"
	"context"
	"encoding/csv"
	"strconv"
	"time"

	"github.com/go-json-experiment/json"

	"audittrail/modules/analytics/process"
	"audittrail/modules/analytics/sketch"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// defaultVariants is how many variants an answer shows where the caller does not say.
const defaultVariants = 20

var errTooManyPaths = errs.New(errs.TooExpensive, "range_too_long", "there are more than %d ways from one event type to the next: give a shorter time", process.MaxEdges)

// maxReadings is how many answers may follow events at once in this process; each may take some seconds. maxOwnReadings of
// them are one caller's.
const (
	maxReadings    = 2
	maxOwnReadings = 1
)

var (
	errBusy    = errs.New(errs.Unavailable, "unavailable", "other questions of this kind are being answered right now; try again in a moment")
	errOwnBusy = errs.New(errs.Unavailable, "unavailable", "a question of yours of this kind is being answered right now; try again when it is")
)

func newReadings() *httpserver.Slots {
	return &httpserver.Slots{Most: maxReadings, MostOwn: maxOwnReadings, Full: errBusy, OwnFull: errOwnBusy}
}

// cases reads the cases that fit, one after the other. isOpen is as in CaseFilter; nil for none.
func (h *API) cases(ctx context.Context, f store.CaseFilter, isOpen func([]process.Step) bool, each func([]process.Step)) error {
	giveBack, err := h.readings.Take(httpserver.ExchangeOf(ctx).Principal)
	if err != nil {
		return err
	}
	defer giveBack()
	var steps []process.Step
	stepsOf := func(events []store.CaseEvent) []process.Step {
		steps = steps[:0]
		for _, e := range events {
			steps = append(steps, process.Step(e))
		}
		return steps
	}
	if isOpen != nil {
		f.IsOpen = func(events []store.CaseEvent) bool { return isOpen(stepsOf(events)) }
	}
	return h.reader.Cases(ctx, f, func(events []store.CaseEvent) { each(stepsOf(events)) })
}

// GetProcess answers how the aggregates of a type go.
func (h *API) GetProcess(ctx context.Context, r httpapi.GetProcessRequestObject) (httpapi.GetProcessResponseObject, error) {
	f := store.CaseFilter{AggregateType: r.AggregateType}
	var err error
	if f.From, f.To, err = httpapi.Between(r.Params.From, r.Params.To); err != nil {
		return nil, err
	}
	newSince, err := httpapi.TimeOf("newSince", r.Params.NewSince)
	if err != nil {
		return nil, err
	}
	var g process.Graph
	if err := h.cases(ctx, f, nil, g.Add); err != nil {
		return nil, err
	}
	if g.TooMany {
		return nil, errTooManyPaths
	}
	if g.Cases == 0 {
		return nil, errs.New(errs.NotFound, "not_found", "no aggregate of this type has an event in this time")
	}
	var body bytes.Buffer
	kind := httpapi.Preferred(httpserver.ExchangeOf(ctx).Request, httpapi.JSONType, httpapi.MermaidType, httpapi.GraphvizType)
	switch kind {
	case httpapi.MermaidType:
		g.Mermaid(&body)
	case httpapi.GraphvizType:
		g.Graphviz(&body)
	default:
		err = json.MarshalWrite(&body, processOf(r.AggregateType, &g, newSince, int(valueOf(r.Params.Variants, defaultVariants))), json.Deterministic(true))
	}
	return httpapi.AnalyticsAnswer{Type: kind, Body: body.Bytes()}, err
}

func processOf(aggregateType string, g *process.Graph, newSince time.Time, variants int) httpapi.Process {
	isNew := func(at time.Time) *bool {
		if newSince.IsZero() {
			return nil
		}
		is := !at.Before(newSince)
		return &is
	}
	out := httpapi.Process{AggregateType: aggregateType, Cases: g.Cases, Events: g.Events, Activities: []httpapi.ProcessActivity{}, Edges: []httpapi.ProcessEdge{}, Variants: []httpapi.ProcessVariant{}}
	for _, a := range g.Activities() {
		out.Activities = append(out.Activities, httpapi.ProcessActivity{EventType: a.Type, Count: a.Count, Starts: a.Starts, Ends: a.Ends})
	}
	for _, e := range g.Edges() {
		out.Edges = append(out.Edges, httpapi.ProcessEdge{From: e.From, To: e.To, Count: e.Count, FirstSeen: event.FormatTime(e.FirstSeen), New: isNew(e.FirstSeen),
			P50Seconds: e.Quantile(0.5).Seconds(), P95Seconds: e.Quantile(0.95).Seconds()})
	}
	all := g.Variants()
	out.VariantCount = int64(len(all))
	for _, v := range all[:min(len(all), variants)] {
		out.Variants = append(out.Variants, httpapi.ProcessVariant{EventTypes: v.Types, Count: v.Count, Share: float64(v.Count) / float64(g.Cases), FirstSeen: event.FormatTime(v.FirstSeen), New: isNew(v.FirstSeen)})
	}
	return out
}

// sinceUntil reads the time in which a question's first events lie.
func sinceUntil(since, until *httpapi.Moment) (from, to time.Time, err error) {
	if from, err = httpapi.TimeOf("since", since); err != nil {
		return from, to, err
	}
	if to, err = httpapi.TimeOf("until", until); err == nil && since != nil && until != nil && !from.Before(to) {
		err = invalid("until", "must be after since: until itself is not part of the time")
	}
	return from, to, err
}

// GetStepStats answers how long it takes from an event of one type to the next of another in the same workflow.
func (h *API) GetStepStats(ctx context.Context, r httpapi.GetStepStatsRequestObject) (httpapi.GetStepStatsResponseObject, error) {
	since, until, err := sinceUntil(r.Params.Since, r.Params.Until)
	if err != nil {
		return nil, err
	}
	b := process.Between{From: r.Params.From, To: r.Params.To}
	err = h.cases(ctx, store.CaseFilter{EventTypes: []string{b.From, b.To}, From: since, To: until},
		func(steps []process.Step) bool { return b.IsOpen(steps, since, until) },
		func(steps []process.Step) { b.Add(steps, since, until) })
	if err != nil {
		return nil, err
	}
	out := httpapi.StepStats{From: b.From, To: b.To, Count: b.Count, Open: b.Open, MeanSeconds: b.Mean().Seconds(), MinSeconds: b.Least.Seconds(), MaxSeconds: b.Most.Seconds(),
		P50Seconds: b.Durations.Quantile(0.5).Seconds(), P90Seconds: b.Durations.Quantile(0.9).Seconds(), P95Seconds: b.Durations.Quantile(0.95).Seconds(), P99Seconds: b.Durations.Quantile(0.99).Seconds()}
	kind := httpapi.Preferred(httpserver.ExchangeOf(ctx).Request, httpapi.JSONType, httpapi.CSVType)
	if kind == httpapi.CSVType {
		body, err := table([]string{"from", "to", "count", "open", "meanSeconds", "minSeconds", "maxSeconds", "p50Seconds", "p90Seconds", "p95Seconds", "p99Seconds"},
			[]string{cell(out.From), cell(out.To), whole(out.Count), whole(out.Open), decimal(out.MeanSeconds), decimal(out.MinSeconds), decimal(out.MaxSeconds),
				decimal(out.P50Seconds), decimal(out.P90Seconds), decimal(out.P95Seconds), decimal(out.P99Seconds)})
		return httpapi.AnalyticsAnswer{Type: kind, Body: body}, err
	}
	body, err := json.Marshal(out)
	return httpapi.AnalyticsAnswer{Type: kind, Body: body}, err
}

// GetFunnel answers how many workflows come how far.
func (h *API) GetFunnel(ctx context.Context, r httpapi.GetFunnelRequestObject) (httpapi.GetFunnelResponseObject, error) {
	since, until, err := sinceUntil(r.Params.Since, r.Params.Until)
	if err != nil {
		return nil, err
	}
	f := process.NewFunnel(r.Params.Step)
	err = h.cases(ctx, store.CaseFilter{EventTypes: f.Types, From: since, To: until},
		func(steps []process.Step) bool { return f.IsOpen(steps, since, until) },
		func(steps []process.Step) { f.Add(steps, since, until) })
	if err != nil {
		return nil, err
	}
	out := httpapi.Funnel{Steps: make([]httpapi.FunnelStep, len(f.Types))}
	rows := make([][]string, len(f.Types))
	for i, kind := range f.Types {
		s := httpapi.FunnelStep{EventType: kind, Count: f.Counts[i], Share: share(f.Counts[i], f.Counts[0])}
		s.P50Seconds, s.P95Seconds = seconds(&f.Step[i], 0.5), seconds(&f.Step[i], 0.95)
		s.P50SecondsFromFirst, s.P95SecondsFromFirst = seconds(&f.Whole[i], 0.5), seconds(&f.Whole[i], 0.95)
		out.Steps[i] = s
		rows[i] = []string{cell(kind), whole(s.Count), decimal(s.Share), optional(s.P50Seconds), optional(s.P95Seconds), optional(s.P50SecondsFromFirst), optional(s.P95SecondsFromFirst)}
	}
	kind := httpapi.Preferred(httpserver.ExchangeOf(ctx).Request, httpapi.JSONType, httpapi.CSVType)
	if kind == httpapi.CSVType {
		body, err := table([]string{"eventType", "count", "share", "p50Seconds", "p95Seconds", "p50SecondsFromFirst", "p95SecondsFromFirst"}, rows...)
		return httpapi.AnalyticsAnswer{Type: kind, Body: body}, err
	}
	body, err := json.Marshal(out)
	return httpapi.AnalyticsAnswer{Type: kind, Body: body}, err
}

func share(part, of int64) float64 {
	if of == 0 {
		return 0
	}
	return float64(part) / float64(of)
}

// seconds is a quantile; nil where there is nothing to tell of.
func seconds(d *sketch.Durations, q float64) *float64 {
	if d.Count() == 0 {
		return nil
	}
	s := d.Quantile(q).Seconds()
	return &s
}

func table(header []string, rows ...[]string) ([]byte, error) {
	var out bytes.Buffer
	w := csv.NewWriter(&out)
	w.UseCRLF = true
	_ = w.Write(header)
	_ = w.WriteAll(rows) // it flushes; Error tells of all
	return out.Bytes(), w.Error()
}

func whole(n int64) string     { return strconv.FormatInt(n, 10) }
func decimal(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }

func optional(f *float64) string {
	if f == nil {
		return ""
	}
	return decimal(*f)
}
