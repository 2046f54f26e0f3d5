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
	filter, err := search{
		p.EventType, p.AggregateType, p.AggregateId, p.From, p.To, p.CorrelationId, p.CausationId, p.UserId, p.Source, p.Payload,
	}.filter(time.Now())
	if err != nil {
		return nil, err
	}
	found, err := h.reader.Events(ctx, filter, page(orderOf(r.Params.Order, store.Descending), r.Params.Limit, r.Params.Cursor))
	if err != nil {
		return nil, err
	}
	httpserver.ShowEvents(ctx, len(found.Items))
	return httpapi.EventsAnswer{Items: found.Items, NextCursor: found.Next}, nil
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
	httpserver.ShowEvents(ctx, 1)
	body := found.AppendJSON(nil)
	etag := httpserver.ETag(body)
	if r.Params.IfNoneMatch != nil && httpserver.MatchesETag(*r.Params.IfNoneMatch, etag) {
		return httpapi.Unchanged{ETag: etag}, nil
	}
	return httpapi.SingleEvent{Body: body, ETag: etag}, nil
}
