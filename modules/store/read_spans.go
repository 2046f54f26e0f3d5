package store

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
)

// span is a part of the time axis that is planned by itself: one partition of events, or a stretch
// between partitions. A zero bound is open.
type span struct {
	lower, upper time.Time
	partition    uint32 // its oid; 0 for a stretch between partitions
}

// spansAge is how long a list of partitions is used. An old list costs speed, never events: spans always
// cover all of time, and partitions that were empty are looked at again by every list.
const spansAge = 30 * time.Second

// By pg_inherits' indexes. A partition that is being detached is not read.
const partitionsSQL = `
	SELECT substring(bound FROM $$FROM \('([^']*)'\)$$)::timestamptz,
	       substring(bound FROM $$TO \('([^']*)'\)$$)::timestamptz, oid
	FROM (SELECT c.oid, pg_get_expr(c.relpartbound, c.oid) AS bound
	      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	      WHERE i.inhparent = 'events'::regclass AND NOT i.inhdetachpending) AS partitions
	ORDER BY 1 NULLS FIRST`

// A partition without a page never had a row; whoever commits one has made a page before.
const occupiedSQL = `SELECT p FROM unnest($1::oid[]) AS p WHERE pg_relation_size(p) > 0`

// spanCache remembers the partitions of events, and which of them hold rows, which they then do for ever.
type spanCache struct {
	mu       sync.Mutex
	spans    []span // oldest first; never changed, only replaced
	loaded   time.Time
	occupied map[uint32]bool
}

// timeline answers all of time that may hold an event of [from, to), oldest first, cut at the bounds of
// partitions. Partitions that are empty at this moment are left out: most of the past is, and planning a
// branch for each would take longer than the search.
func (r *Reader) timeline(ctx context.Context, conn *pgx.Conn, from, to time.Time) ([]span, error) {
	spans, err := r.partitions(ctx, conn)
	if err != nil {
		return nil, err
	}
	var within []span
	for _, s := range spans {
		if s.overlaps(from, to) {
			within = append(within, s)
		}
	}
	if err := r.lookAgain(ctx, conn, within); err != nil {
		return nil, err
	}
	r.spans.mu.Lock()
	defer r.spans.mu.Unlock()
	return slices.DeleteFunc(within, func(s span) bool { return s.partition != 0 && !r.spans.occupied[s.partition] }), nil
}

// lookAgain finds out which partitions that were empty so far have got rows.
func (r *Reader) lookAgain(ctx context.Context, conn *pgx.Conn, spans []span) error {
	var empty []uint32
	r.spans.mu.Lock()
	for _, s := range spans {
		if s.partition != 0 && !r.spans.occupied[s.partition] {
			empty = append(empty, s.partition)
		}
	}
	r.spans.mu.Unlock()
	if len(empty) == 0 {
		return nil
	}
	rows, err := conn.Query(ctx, occupiedSQL, empty)
	if err != nil {
		return err
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return err
	}
	r.spans.mu.Lock()
	defer r.spans.mu.Unlock()
	for _, partition := range found {
		r.spans.occupied[partition] = true
	}
	return nil
}

// partitions answers all of time, oldest first, from a list that may be some seconds old.
func (r *Reader) partitions(ctx context.Context, conn *pgx.Conn) ([]span, error) {
	r.spans.mu.Lock()
	spans, age := r.spans.spans, r.now().Sub(r.spans.loaded)
	r.spans.mu.Unlock()
	if spans != nil && age < spansAge {
		return spans, nil
	}
	rows, err := conn.Query(ctx, partitionsSQL)
	if err != nil {
		return nil, err
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (span, error) {
		var lower, upper pgtype.Timestamptz
		var oid uint32
		err := row.Scan(&lower, &upper, &oid)
		return span{bound(lower), bound(upper), oid}, err
	})
	if err != nil {
		return nil, err
	}
	spans = fill(list)
	r.spans.mu.Lock()
	defer r.spans.mu.Unlock()
	r.spans.spans, r.spans.loaded = spans, r.now()
	if r.spans.occupied == nil {
		r.spans.occupied = make(map[uint32]bool)
	}
	return spans, nil
}

// bound is a partition's bound; zero for MINVALUE, MAXVALUE and the infinities.
func bound(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	return t.Time.UTC()
}

// fill makes spans that cover all of time without a gap out of partitions that are sorted by their lower
// bound. So a partition that was made a moment ago is read too, as part of the stretch that it lies in.
func fill(partitions []span) []span {
	var (
		spans []span
		end   time.Time // of the last span
	)
	for _, p := range partitions {
		if !p.lower.IsZero() && !p.lower.Equal(end) {
			spans = append(spans, span{lower: end, upper: p.lower}) // a gap; at first, all that is before
		}
		spans = append(spans, p)
		if end = p.upper; end.IsZero() {
			return spans
		}
	}
	return append(spans, span{lower: end})
}

// overlaps says whether the span holds a moment of [from, to); zero is open.
func (s span) overlaps(from, to time.Time) bool {
	return (to.IsZero() || s.lower.IsZero() || s.lower.Before(to)) &&
		(from.IsZero() || s.upper.IsZero() || s.upper.After(from))
}

// within is the part of the span that lies in [from, to), cut at whole microseconds so that nothing is lost.
func (s span) within(from, to time.Time) span {
	s.lower = later(s.lower, from.Truncate(time.Microsecond))
	if end := to.Truncate(time.Microsecond); !to.IsZero() {
		if end.Before(to) {
			end = end.Add(time.Microsecond)
		}
		s.upper = earlier(s.upper, end)
	}
	return s
}

// condition is the span as SQL. Its literals are made from the catalogue's times, never from a caller's
// text; as literals each branch is planned with its own partition's statistics.
func (s span) condition() string {
	sql := "true"
	if !s.lower.IsZero() {
		sql += " AND timestamp >= '" + event.FormatTime(s.lower) + "'"
	}
	if !s.upper.IsZero() {
		sql += " AND timestamp < '" + event.FormatTime(s.upper) + "'"
	}
	return sql
}
