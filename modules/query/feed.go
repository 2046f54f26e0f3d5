package query

import (
	"context"
	"time"

	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// feedReads is how long a feed that waits may take beyond its wait: a caller that says how long it can
// wait must hear within about that time, also from a store that does not move.
const feedReads = 5 * time.Second

// holdFor is how long a feed is held that finds no place to wait.
const holdFor = time.Second

var errFeedSlow = errs.New(errs.Unavailable, "unavailable", "the event store does not answer in time; try again later")

// ReadFeed answers events in commit order, as a page or as a stream. Where there is none yet, and the caller
// wants to wait, a page comes as soon as there is one, when the time is over, or when the server stops; and
// within a second where too many wait already. A position beyond the end is refused: the log was set back.
func (h *Handlers) ReadFeed(ctx context.Context, r httpapi.ReadFeedRequestObject) (httpapi.ReadFeedResponseObject, error) {
	after, limit := int64(-1), defaultLimit
	if r.Params.After != nil {
		after = *r.Params.After
	}
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
	if prefersStream(httpserver.ExchangeOf(ctx).Request) {
		if last := textOf(r.Params.LastEventID); last != "" {
			if after, err = positionOf(last); err != nil {
				return nil, err
			}
		}
		return h.streamFeed(ctx, filter, fields, after), nil
	}
	if r.Params.Limit != nil {
		limit = int(*r.Params.Limit)
	}
	longest := time.Duration(0)
	if r.Params.Wait != nil {
		longest = patience(ctx, time.Duration(*r.Params.Wait)*time.Second)
	}
	found, err := h.follow(ctx, filter, after, limit, longest)
	if err != nil {
		return nil, err
	}
	show(ctx, found.Items)
	return httpapi.FeedAnswer{Items: found.Items, Fields: fields, ScannedTo: found.ScannedTo, More: found.More}, nil
}

// follow reads the feed, and again after each wait while it finds nothing and the time is not over.
func (h *Handlers) follow(ctx context.Context, f store.Filter, after int64, limit int, longest time.Duration) (store.FeedPage, error) {
	if longest <= 0 {
		return h.reader.Feed(ctx, f, after, limit)
	}
	over := time.Now().Add(longest)
	bounded, cancel := context.WithDeadline(ctx, over.Add(feedReads))
	defer cancel()
	found, err := h.reader.Feed(bounded, f, after, limit)
	for moved := true; err == nil && moved && len(found.Items) == 0 && !found.More; {
		if moved, err = h.wait(bounded, found.ScannedTo, time.Until(over)); moved {
			found, err = h.reader.Feed(bounded, f, found.ScannedTo, limit)
		}
	}
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		err = errFeedSlow.Because(err)
	}
	return found, err
}

// wait is headWatch.wait for those who find a place to wait. A waiting feed is a request under way, and
// feeds that wait must not keep all others out. Who finds no place is held for a second, so that followers
// who ask again at once do not spin. Half as many have room for that, and the others are told to come back.
func (h *Handlers) wait(ctx context.Context, after int64, longest time.Duration) (moved bool, err error) {
	giveBack, full := h.waits.Take(httpserver.ExchangeOf(ctx).Principal)
	if full == nil {
		defer giveBack()
		return h.head.wait(ctx, after, longest), nil
	}
	select {
	case h.holds <- struct{}{}:
		defer func() { <-h.holds }()
		return h.head.hold(ctx, after, min(longest, holdFor)), nil
	default:
		return false, full
	}
}
