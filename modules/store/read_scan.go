package store

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// A list reads the spans of time in the order of its answer. These are the numbers of spans of its first statements;
// the last statement reads all that are left. Most pages end with the first one. A search for rare events must not
// take one statement per partition.
var walk = [...]int{4, 12}

// narrowing is by how much a statement reads less time than the one before, which took too long.
const narrowing = 16

// scan reads a list until its page is full, all spans are read, or its budget is used.
//
// No plan tells how far a statement came that found nothing. So where the first one takes half of the budget,
// it is cancelled, and shorter and shorter stretches of time are tried until one is done: each page moves on.
type scan struct {
	conn   *pgx.Conn
	where  *conditions
	order  Order
	page   *collector
	left   []span        // what is still to be read, in the order of the answer
	budget time.Duration // how long the scan may take, about

	width time.Duration // of the stretches that are read; 0 while spans are read whole
	moved bool          // a part was read to its end
}

// run fills the page. It returns the place after which the list goes on, or nil at the end.
func (s *scan) run(ctx context.Context) (*key, error) {
	until := time.Now().Add(s.budget)
	for statement := 0; len(s.left) > 0; statement++ {
		part, rest := s.next(statement)
		before := len(s.page.rows)
		isCut, err := s.read(ctx, part, s.allowance(until))
		switch {
		case err != nil:
			return nil, err
		case s.page.full, isCut && len(s.page.rows) > before:
			last := s.page.rows[len(s.page.rows)-1]
			return &key{last.stored.Timestamp, last.id}, nil
		case isCut && s.moved:
			return s.place(), nil
		case isCut:
			lower, upper := part[0].ends()
			s.width = max(upper.Sub(lower)/narrowing, time.Microsecond)
		default:
			s.left, s.moved, s.width = rest, true, 2*s.width
			if len(rest) > 0 && time.Now().After(until) {
				return s.place(), nil
			}
		}
	}
	return nil, nil
}

// allowance is how long the next statement may take. As long as nothing was read to its end, one that takes
// too long leaves time for others; the one that can't be narrowed may take as long as the server lets it.
func (s *scan) allowance(until time.Time) time.Duration {
	switch {
	case s.moved:
		return max(time.Until(until), s.budget/narrowing)
	case s.width == 0:
		return s.budget / 2
	case s.width == time.Microsecond:
		return readTimeout
	default:
		return s.budget / 4
	}
}

// next returns the spans that the next statement reads, and those that are then left.
func (s *scan) next(statement int) (part, rest []span) {
	if s.width == 0 {
		return cut(s.left, statement)
	}
	near, far := s.left[0].split(s.width, s.order)
	if rest = s.left[1:]; far != nil {
		rest = append([]span{*far}, rest...)
	}
	return []span{near}, rest
}

// cut returns the spans of this statement, and those of later ones.
func cut(spans []span, statement int) (part, rest []span) {
	n := len(spans)
	if statement < len(walk) {
		n = min(n, walk[statement])
	}
	return spans[:n], spans[n:]
}

// read reads one statement's rows into the page, for at most so long; isCut says that it took longer.
func (s *scan) read(ctx context.Context, part []span, most time.Duration) (isCut bool, err error) {
	// One row more than fits, to know whether there are more.
	selection := overSpans(part, s.where, s.order, s.page.limit+1-len(s.page.rows))
	stop := cancelAfter(ctx, s.conn, most)
	err = selection.readInto(ctx, s.conn, s.page)
	cancelled := stop()
	var pg *pgconn.PgError
	if cancelled && errors.As(err, &pg) && pg.Code == queryCanceled {
		return true, nil
	}
	return false, err
}

// place returns the place before the spans that are left.
func (s *scan) place() *key {
	if s.order == Ascending {
		return &key{s.left[0].lower.Add(-time.Microsecond), math.MaxInt64}
	}
	return &key{s.left[0].upper, math.MinInt64}
}

// split cuts off the part of the span that comes first in the order; far is nil where that is all of it. An
// open end stays with the part that it belongs to.
func (s span) split(width time.Duration, order Order) (near span, far *span) {
	lower, upper := s.ends()
	width = width.Truncate(time.Microsecond)
	if upper.Sub(lower) <= width {
		return s, nil
	}
	near, rest := s, s
	if order == Ascending {
		near.upper = lower.Add(width)
		rest.lower = near.upper
	} else {
		near.lower = upper.Add(-width)
		rest.upper = near.lower
	}
	return near, &rest
}

// ends are the span's bounds, with the time that events can have in place of an open one.
func (s span) ends() (lower, upper time.Time) {
	lower, upper = s.lower, s.upper
	if lower.IsZero() {
		lower = time.Date(1900, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	if upper.IsZero() {
		upper = later(lower, time.Now().Add(farthestFuture)).Truncate(time.Microsecond)
	}
	return lower, upper
}

// farthestFuture is how far ahead of the clock `ingest.max_future` may let events be, by its usual setting.
// It says how finely an open end is read, not what is found.
const farthestFuture = 24 * time.Hour

const queryCanceled = "57014" // SQLSTATE query_canceled

// cancelAfter has the server cancel the statement that runs on the connection after this time. stop MUST be
// called when the statement is done; it says whether that was asked for. The connection is good for more then:
// the server drops a request that comes too late, and stop waits until it has come.
func cancelAfter(ctx context.Context, conn *pgx.Conn, most time.Duration) (stop func() bool) {
	done := make(chan struct{})
	timer := time.AfterFunc(most, func() {
		defer close(done)
		bounded, cancel := context.WithTimeout(ctx, acquireTimeout)
		defer cancel()
		_ = conn.PgConn().CancelRequest(bounded) // where it fails, the statement ends by its timeout
	})
	return func() bool {
		if timer.Stop() {
			return false
		}
		<-done
		return true
	}
}
