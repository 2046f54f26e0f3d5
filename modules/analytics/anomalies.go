package analytics

import (
	"context"
	"slices"
	"time"

	"github.com/go-json-experiment/json"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
)

// defaultLimit is how many anomalies a list holds where the caller does not say.
const defaultLimit = 50

// ListAnomalies answers what is unusual.
func (h *API) ListAnomalies(ctx context.Context, r httpapi.ListAnomaliesRequestObject) (httpapi.ListAnomaliesResponseObject, error) {
	f := store.AnomalyFilter{Limit: int(valueOf(r.Params.Limit, defaultLimit)), Access: seesAccess(ctx), Kind: string(valueOf(r.Params.Kind, "")), State: string(valueOf(r.Params.State, ""))}
	var err error
	if f.From, f.To, err = httpapi.Between(r.Params.From, r.Params.To); err != nil {
		return nil, err
	}
	found, err := h.reader.Anomalies(ctx, f)
	if err != nil {
		return nil, err
	}
	list := httpapi.AnomalyList{Items: make([]httpapi.Anomaly, len(found))}
	for i := range found {
		list.Items[i] = anomalyOf(ctx, &found[i])
	}
	body, err := json.Marshal(list)
	return httpapi.AnalyticsAnswer{Type: httpapi.JSONType, Body: body}, err
}

// seesAccess reports whether the caller may see what comes from the access log.
func seesAccess(ctx context.Context) bool { return access.GrantOf(ctx).Has(access.AccessRead) }

// GetAnomaly answers one anomaly.
func (h *API) GetAnomaly(ctx context.Context, r httpapi.GetAnomalyRequestObject) (httpapi.GetAnomalyResponseObject, error) {
	return h.anomaly(ctx, r.Id)
}

func (h *API) anomaly(ctx context.Context, id string) (httpapi.AnalyticsAnswer, error) {
	found, err := h.reader.Anomaly(ctx, id, seesAccess(ctx))
	if err != nil {
		return httpapi.AnalyticsAnswer{}, err
	}
	body, err := json.Marshal(anomalyOf(ctx, &found))
	return httpapi.AnalyticsAnswer{Type: httpapi.JSONType, Body: body}, err
}

// AcknowledgeAnomaly notes that somebody looks at an anomaly.
func (h *API) AcknowledgeAnomaly(ctx context.Context, r httpapi.AcknowledgeAnomalyRequestObject) (httpapi.AcknowledgeAnomalyResponseObject, error) {
	return h.decide(ctx, r.Id, "acknowledged", r.Body.Reason)
}

// ResolveAnomaly notes that an anomaly is settled.
func (h *API) ResolveAnomaly(ctx context.Context, r httpapi.ResolveAnomalyRequestObject) (httpapi.ResolveAnomalyResponseObject, error) {
	return h.decide(ctx, r.Id, "resolved", r.Body.Reason)
}

func (h *API) decide(ctx context.Context, id, state, reason string) (httpapi.AnalyticsAnswer, error) {
	if _, err := h.reader.Anomaly(ctx, id, seesAccess(ctx)); err != nil { // what can't be seen can't be decided on
		return httpapi.AnalyticsAnswer{}, err
	}
	principal, _ := auth.PrincipalOf(ctx)
	if err := h.reader.DecideAnomaly(ctx, id, state, principal.Subject, reason); err != nil {
		return httpapi.AnalyticsAnswer{}, err
	}
	return h.anomaly(ctx, id)
}

// anomalyOf is an anomaly as it is answered. It tells the access log how many events the answer names.
func anomalyOf(ctx context.Context, a *store.Anomaly) httpapi.Anomaly {
	httpserver.ShowEvents(ctx, len(a.Evidence.Events))
	out := httpapi.Anomaly{Id: a.ID, Kind: httpapi.AnomalyKind(a.Kind), Subject: a.Subject, Detail: a.Detail, StartedAt: event.FormatTime(a.StartedAt), DetectedAt: event.FormatTime(a.DetectedAt),
		Observed: a.Observed, Expected: a.Expected, Distance: a.Distance, State: httpapi.AnomalyState(a.State), DecidedAt: formatted(a.DecidedAt), DecidedBy: a.DecidedBy, Reason: a.Reason}
	out.Evidence.Access, out.Evidence.DeadLetters = append([]int64{}, a.Evidence.Access...), append([]string{}, a.Evidence.DeadLetters...)
	n := len(a.Evidence.Events)
	out.Evidence.Events = slices.Grow(out.Evidence.Events, n+1)[:n] // never nil, which JSON has as null
	for i, e := range a.Evidence.Events {
		one := &out.Evidence.Events[i]
		one.EventId, one.EventType, one.AggregateType, one.AggregateId, one.Source, one.Timestamp = e.EventID, e.EventType, e.AggregateType, e.AggregateID, e.Source, e.Timestamp
	}
	return out
}

func formatted(at *time.Time) *string {
	if at == nil {
		return nil
	}
	text := event.FormatTime(at.UTC())
	return &text
}
