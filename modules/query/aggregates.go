package query

import (
	"context"

	"audittrail/modules/httpapi"
	"audittrail/modules/store"
)

// ListAggregateEvents answers an aggregate's history.
func (h *Handlers) ListAggregateEvents(ctx context.Context, r httpapi.ListAggregateEventsRequestObject) (httpapi.ListAggregateEventsResponseObject, error) {
	filter := store.Filter{AggregateType: r.Type, AggregateID: r.Id}
	found, err := h.reader.Events(ctx, filter, page(orderOf(r.Params.Order, store.Ascending), r.Params.Limit, r.Params.Cursor))
	if err != nil {
		return nil, err
	}
	show(ctx, found.Items)
	return httpapi.EventsAnswer{Items: found.Items, NextCursor: found.Next}, nil
}
