package query

import (
	"context"
	"time"

	"audittrail/modules/httpapi"
	"audittrail/platform/httpserver"
)

// ReadFeed answers events in commit order. Where there is none yet, and the caller wants to wait, it
// answers as soon as there is one, when the time is over, or when the server stops.
func (h *Handlers) ReadFeed(ctx context.Context, r httpapi.ReadFeedRequestObject) (httpapi.ReadFeedResponseObject, error) {
	after, limit := int64(-1), defaultLimit
	if r.Params.After != nil {
		after = *r.Params.After
	}
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	found, err := h.reader.Feed(ctx, after, limit)
	if err != nil {
		return nil, err
	}
	if r.Params.Wait != nil && len(found.Items) == 0 && !found.More {
		if h.head.wait(ctx, found.ScannedTo, time.Duration(*r.Params.Wait)*time.Second) {
			if found, err = h.reader.Feed(ctx, found.ScannedTo, limit); err != nil {
				return nil, err
			}
		}
	}
	httpserver.ShowEvents(ctx, len(found.Items))
	return httpapi.FeedAnswer{Items: found.Items, ScannedTo: found.ScannedTo, More: found.More}, nil
}
