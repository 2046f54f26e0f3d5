package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
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
		if err := listSpans(ctx, conn, group, where, p, page); err != nil {
			return nil, false, err
		}
		if page.full {
			break
		}
	}
	return page.rows, page.full, nil
}

// listSpans reads one statement's spans into the page.
func listSpans(ctx context.Context, conn *pgx.Conn, spans []span, where *conditions, p Page, page *collector) error {
	c := conditions{terms: where.terms, args: slices.Clone(where.args)}
	limit := c.bind(p.Limit + 1 - len(page.rows)) // one more than fits, to know whether there is more
	return collect(ctx, conn, page, listSQL(spans, &c, p.Order, limit), c.args...)
}

// listSQL is a UNION ALL with a branch for each span, in the order of the answer. Append runs its branches
// in their order, so that the outer LIMIT ends it in the first ones that are enough.
func listSQL(spans []span, where *conditions, order Order, limit string) string {
	direction := "ASC"
	if order == Descending {
		direction = "DESC"
	}
	branches := make([]string, len(spans))
	for i, s := range spans {
		branches[i] = fmt.Sprintf("(SELECT %s FROM events WHERE %s AND %s ORDER BY timestamp %s, id %s LIMIT %s)",
			eventColumns, s.condition(), where.sql(), direction, direction, limit)
	}
	return union(branches, limit)
}

// union reads branches one after the other until the limit, and adds each event's position. A branch that
// stands alone has its limit already.
func union(branches []string, limit string) string {
	rows := branches[0]
	if len(branches) > 1 {
		rows = strings.Join(branches, " UNION ALL ") + " LIMIT " + limit
	}
	return "SELECT " + eventColumns + ", " + positionColumn + " FROM (" + rows + ") AS e"
}

// collect runs a statement that is planned for its values and fills the page with its rows. When the page
// is full the connection is dropped rather than drained: what is left may be a gigabyte.
func collect(ctx context.Context, conn *pgx.Conn, page *collector, sql string, args ...any) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanEvent(rows)
		if err != nil {
			return err
		}
		if !page.add(r) {
			if page.bytes < r.size() && len(page.rows) < page.limit {
				cancel() // rows.Close then closes the connection, and the pool makes another
			}
			return nil
		}
	}
	return rows.Err()
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
