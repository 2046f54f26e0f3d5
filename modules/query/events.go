package query

import (
	"context"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// ListEvents searches events.
func (h *Handlers) ListEvents(ctx context.Context, r httpapi.ListEventsRequestObject) (httpapi.ListEventsResponseObject, error) {
	p := r.Params
	filter, err := filterOf(p.EventType, p.AggregateType, p.AggregateId, p.From, p.To)
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

// filterOf reads the filters that a search and an export have in common; nil is one that was not given.
func filterOf(types *httpapi.EventType, aggregateType, aggregateID *httpapi.Name, from, to *httpapi.Moment) (f store.Filter, err error) {
	if types != nil {
		f.EventTypes = *types
	}
	f.AggregateType, f.AggregateID = textOf(aggregateType), textOf(aggregateID)
	if f.From, err = timeOf("from", from); err != nil {
		return f, err
	}
	if f.To, err = timeOf("to", to); err != nil {
		return f, err
	}
	if from != nil && to != nil && !f.From.Before(f.To) {
		return f, invalid("to", "must be after from: to itself is not part of the search")
	}
	return f, nil
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
