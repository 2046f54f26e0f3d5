package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

// Events returns a page of the events that match the filter, by (timestamp, id). Every event that was stored before
// the first page appears on exactly one page. A page ends early, and may be empty, if the search has used the
// reader's scan budget: only an empty Next means the end.
func (r *Reader) Events(ctx context.Context, f Filter, p Page) (EventPage, error) {
	var (
		page  EventPage
		place *pageCursor
		found []row
	)
	if p.Cursor != "" {
		c, err := parsePageCursor(p.Cursor, p.Order, visibleTo(ctx, f))
		if err != nil {
			return page, err
		}
		place = &c
		r.seatAt(ctx, c.position)
	}
	f, err := r.searching(ctx, f)
	if err != nil {
		return page, err
	}
	err = r.read(ctx, "list events", func(ctx context.Context, conn *pgx.Conn) error {
		rows, next, err := r.list(ctx, conn, f, p, place)
		if err != nil {
			return err
		}
		page, found = EventPage{}, rows
		if next == nil {
			return nil
		}
		position := int64(noPosition)
		switch {
		case place != nil:
			position = place.position
		case r.replicas != nil: // read behind the page, so it is not before anything that the page could show
			if position, err = readHead(ctx, conn); err != nil {
				return err
			}
		}
		page.Next = r.cursorOf(ctx, *next, p.Order, f, position)
		return nil
	})
	if err != nil {
		return page, err
	}
	page.Items, err = r.shown(ctx, found)
	return page, err
}

// seatAt has a list go on where there is what its first page could see: at the primary, if its cursor does not tell.
func (r *Reader) seatAt(ctx context.Context, position int64) {
	if position == noPosition {
		seatOf(ctx).ToPrimary()
		return
	}
	seatOf(ctx).raise(position)
}

// cursorOf returns a list's cursor. It carries the position only where there are replicas, which may lack it.
func (r *Reader) cursorOf(ctx context.Context, at key, order Order, f Filter, position int64) string {
	if r.replicas == nil {
		position = noPosition
	}
	return pageCursor{at, position}.encode(order, visibleTo(ctx, f))
}

// list returns a page's rows, and the place where the next page begins, or nil if there is none.
func (r *Reader) list(ctx context.Context, conn *pgx.Conn, f Filter, p Page, at *pageCursor) ([]row, *key, error) {
	from, to := f.From, f.To
	if at != nil {
		if p.Order == Ascending {
			from = later(from, at.timestamp)
		} else {
			to = earlier(to, at.timestamp.Add(time.Microsecond))
		}
	}
	where, spans, err := r.search(ctx, conn, f, from, to)
	if err != nil {
		return nil, nil, err
	}
	if at != nil {
		where.beyond("timestamp", at.key, p.Order)
	}
	if p.Order == Descending {
		slices.Reverse(spans)
	}
	s := &scan{
		conn: conn, where: where, order: p.Order, left: spans, budget: r.scanBudget,
		page: &collector{limit: p.Limit, bytes: cmp.Or(p.bytes, r.pageBytes)},
	}
	next, err := s.run(ctx)
	return s.page.rows, next, err
}

// visibleTo returns what a cursor belongs to: the filter and the scope of its reader, and of which events the filter
// sees sealed values.
func visibleTo(ctx context.Context, f Filter) []byte {
	b := append(f.fingerprint(), scopesOf(ctx).fingerprint()...)
	if opening := formOf(ctx); opening.opens && (f.Payload != nil || f.UserID != "") {
		b = append(appendField(b, "opens"), scopes{opening.scope}.fingerprint()...)
	}
	return b
}

// search returns the filter's conditions, and the spans of [from, to) that may have matching events, oldest first.
func (r *Reader) search(ctx context.Context, conn *pgx.Conn, f Filter, from, to time.Time) (*conditions, []span, error) {
	var err error
	if f.AggregateID != "" && f.AggregateType == "" {
		if f.aggregateTypes, err = valuesOf(ctx, conn, fieldAggregateType, 2*mostValues); err != nil {
			return nil, nil, err
		}
	}
	spans, err := r.timeline(ctx, conn, from, to)
	if err != nil {
		return nil, nil, err
	}
	wanted, err := wanted(ctx, conn, f)
	if err != nil {
		return nil, nil, err
	}
	if spans, err = occurring(ctx, conn, wanted, spans); err != nil {
		return nil, nil, err
	}
	for i := range spans {
		spans[i] = spans[i].within(from, to)
	}
	where := f.where()
	return where, spans, where.chooseIndexes(ctx, conn)
}

// overSpans selects the events of the spans, in the order of the answer.
func overSpans(spans []span, where *conditions, order Order, limit int) *selection {
	return &selection{branches: conditionsOf(spans), where: where, order: order.by("timestamp"), limit: limit}
}

func conditionsOf(spans []span) []string {
	all := make([]string, len(spans))
	for i, s := range spans {
		all[i] = s.condition()
	}
	return all
}

// by returns the order, by a column of times and id, as ORDER BY has it.
func (o Order) by(column string) string {
	if o == Descending {
		return column + " DESC, id DESC"
	}
	return column + " ASC, id ASC"
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier returns the earlier time; a zero a means no bound.
func earlier(a, b time.Time) time.Time {
	if !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}
