package query

import (
	"context"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// ListEvents searches events.
func (h *Handlers) ListEvents(ctx context.Context, r httpapi.ListEventsRequestObject) (httpapi.ListEventsResponseObject, error) {
	p := r.Params
	filter, err := httpapi.Search{
		EventTypes: p.EventType, AggregateType: p.AggregateType, AggregateID: p.AggregateId, From: p.From, To: p.To,
		CorrelationID: p.CorrelationId, CausationID: p.CausationId, UserID: p.UserId, Source: p.Source, Payload: p.Payload,
	}.Filter(time.Now())
	if err != nil {
		return nil, err
	}
	fields, err := fieldsOf(p.Fields)
	if err != nil {
		return nil, err
	}
	found, err := h.reader.Events(ctx, filter, page(orderOf(p.Order, store.Descending), p.Limit, p.Cursor))
	if err != nil {
		return nil, err
	}
	answer := httpapi.SearchAnswer{Items: found.Items, Fields: fields, NextCursor: found.Next}
	if p.Count != nil {
		if answer.Count, err = h.count(ctx, filter, *p.Count); err != nil {
			return nil, err
		}
	}
	show(ctx, found.Items)
	return answer, nil
}

// count answers how many events fit, exactly or as the planner expects.
func (h *Handlers) count(ctx context.Context, filter store.Filter, how httpapi.ListEventsParamsCount) (*httpapi.EventCount, error) {
	if how == httpapi.Estimate {
		n, err := h.reader.Estimate(ctx, filter)
		return &httpapi.EventCount{Value: n, IsPlanned: true}, err
	}
	n, isCapped, err := h.reader.Count(ctx, filter)
	return &httpapi.EventCount{Value: n, IsCapped: isCapped}, err
}

// GetEvent answers one event, or only that it is as the caller has it.
func (h *Handlers) GetEvent(ctx context.Context, r httpapi.GetEventRequestObject) (httpapi.GetEventResponseObject, error) {
	id, err := event.ParseID(r.EventId)
	if err != nil {
		return nil, invalid("eventId", "must be a UUID in its 36-character form").Because(err)
	}
	found, err := h.reader.Event(ctx, id)
	if err != nil {
		return nil, err
	}
	show(ctx, []event.Stored{found})
	body := found.AppendJSON(nil)
	etag := httpserver.ETag(body)
	if r.Params.IfNoneMatch != nil && httpserver.MatchesETag(*r.Params.IfNoneMatch, etag) {
		return httpapi.Unchanged{ETag: etag}, nil
	}
	return httpapi.SingleEvent{Body: body, ETag: etag}, nil
}
