package store

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// A list walks the spans of time in the order of its answer, in statements over so many of them; the
// last one takes all that is left. Most pages end in the first; a search for what is rare must not pay
// for a statement a partition.
var walk = [...]int{4, 12}

// Events answers a part of the events that fit the filter, by (timestamp, id). Every event that was there
// before the first page appears on exactly one page.
func (r *Reader) Events(ctx context.Context, f Filter, p Page) (EventPage, error) {
	var page EventPage
	err := r.read(ctx, "list events", func(ctx context.Context, conn *pgx.Conn) error {
		rows, more, err := r.list(ctx, conn, f, p)
		if err != nil {
			return err
		}
		page.Items = make([]event.Stored, len(rows))
		for i := range rows {
			page.Items[i] = rows[i].stored
		}
		if more {
			last := rows[len(rows)-1]
			page.Next = cursor(key{last.stored.Timestamp, last.id}, p.Order, f.fingerprint())
		}
		return nil
	})
	return page, err
}

// list answers a page's rows, and whether there is one more.
func (r *Reader) list(ctx context.Context, conn *pgx.Conn, f Filter, p Page) ([]row, bool, error) {
	where, from, to := f.where(), f.From, f.To
	if p.Cursor != "" {
		k, err := parseCursor(p.Cursor, p.Order, f.fingerprint())
		if err != nil {
			return nil, false, err
		}
		where.beyond(k, p.Order)
		if p.Order == Ascending {
			from = later(from, k.timestamp)
		} else {
			to = earlier(to, k.timestamp.Add(time.Microsecond))
		}
	}
	spans, err := r.timeline(ctx, conn, from, to)
	if err != nil {
		return nil, false, err
	}
	page := &collector{limit: p.Limit, bytes: cmp.Or(p.bytes, r.pageBytes)}
	for _, group := range groups(spans, p.Order) {
		s := overSpans(group, where, p.Order, p.Limit+1-len(page.rows)) // one more than fits, to know whether there is more
		if err := s.readInto(ctx, conn, page); err != nil {
			return nil, false, err
		}
		if page.full {
			break
		}
	}
	return page.rows, page.full, nil
}

// overSpans selects the events of the spans, in the order of the answer.
func overSpans(spans []span, where *conditions, order Order, limit int) *selection {
	s := &selection{where: where, order: order.sql(), limit: limit}
	for _, span := range spans {
		s.branches = append(s.branches, span.condition())
	}
	return s
}

// sql is the order as ORDER BY has it.
func (o Order) sql() string {
	if o == Descending {
		return "timestamp DESC, id DESC"
	}
	return "timestamp ASC, id ASC"
}

// groups are the spans in the order of the answer, cut into statements.
func groups(spans []span, order Order) [][]span {
	if order == Descending {
		slices.Reverse(spans)
	}
	var out [][]span
	for _, n := range walk {
		if len(spans) > n {
			out, spans = append(out, spans[:n]), spans[n:]
		}
	}
	if len(spans) > 0 {
		out = append(out, spans)
	}
	return out
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// earlier is the earlier one; a zero a is no bound.
func earlier(a, b time.Time) time.Time {
	if !a.IsZero() && a.Before(b) {
		return a
	}
	return b
}
