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

// span is a part of the time axis that is read by a branch of its own: one partition of events, or a stretch between
// two partitions. A zero bound is open.
type span struct {
	lower, upper time.Time
	partition    uint32 // its oid; 0 for a stretch between partitions
}

// spansAge is how long a list of partitions is used. An old list costs speed, never events: spans always cover all of
// time, and every list checks again the partitions that were empty.
const spansAge = 30 * time.Second

// It uses the indexes of pg_inherits. A partition that is being detached is not read.
const partitionsSQL = `
	SELECT substring(bound FROM $$FROM \('([^']*)'\)$$)::timestamptz,
	       substring(bound FROM $$TO \('([^']*)'\)$$)::timestamptz, oid
	FROM (SELECT c.oid, pg_get_expr(c.relpartbound, c.oid) AS bound
	      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	      WHERE i.inhparent = 'events'::regclass AND NOT i.inhdetachpending) AS partitions
	ORDER BY 1 NULLS FIRST`

// A partition without a page never had a row: a page is made before a row is committed.
const occupiedSQL = `SELECT p FROM unnest($1::oid[]) AS p WHERE pg_relation_size(p) > 0`

// spanCache remembers the partitions of events, and which of them have rows. Those have rows for ever.
type spanCache struct {
	mu       sync.Mutex
	spans    []span // oldest first; never changed, only replaced
	loaded   time.Time
	occupied map[uint32]bool
}

// timeline returns the spans that may have events of [from, to), oldest first. It leaves out partitions that are empty
// now. Most of the past is empty, and planning a branch for each partition would take longer than the search.
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

// lookAgain finds out which of the empty partitions now have rows.
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

// partitions returns spans over all of time, oldest first, from a list that may be some seconds old.
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

// bound returns a partition's bound, or zero for MINVALUE, MAXVALUE and infinity.
func bound(t pgtype.Timestamptz) time.Time {
	if !t.Valid || t.InfinityModifier != pgtype.Finite {
		return time.Time{}
	}
	return t.Time.UTC()
}

// fill returns spans that cover all of time without a gap, from partitions sorted by their lower bounds. So a
// partition that was made a moment ago is read too, as part of a stretch between others.
func fill(partitions []span) []span {
	var (
		spans []span
		end   time.Time // of the last span
	)
	for _, p := range partitions {
		if !p.lower.IsZero() && !p.lower.Equal(end) {
			spans = append(spans, span{lower: end, upper: p.lower}) // a gap; before the first partition, all earlier time
		}
		spans = append(spans, p)
		if end = p.upper; end.IsZero() {
			return spans
		}
	}
	return append(spans, span{lower: end})
}

// overlaps reports whether the span has a time of [from, to); a zero bound is open.
func (s span) overlaps(from, to time.Time) bool {
	return (to.IsZero() || s.lower.IsZero() || s.lower.Before(to)) &&
		(from.IsZero() || s.upper.IsZero() || s.upper.After(from))
}

// within returns the part of the span in [from, to), cut at whole microseconds so that no event is lost.
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

// condition returns the span as SQL. Its literals are made from the catalogue's times, never from a caller's text.
// With literals, each branch is planned with its own partition's statistics.
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
