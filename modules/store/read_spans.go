package store

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"audittrail/modules/event"
)

// span is a part of the time axis that is planned by itself: one partition of events, or a stretch
// between partitions. A zero bound is open.
type span struct{ lower, upper time.Time }

const (
	// spansAge is how long a list of partitions is used. An old list costs speed, never events: spans
	// always cover all of time.
	spansAge = 30 * time.Second

	// ahead is how far in the future partitions still count as parts of their own. Events can't be dated
	// later than a day from now by default, so those months are empty and share one span.
	ahead = 48 * time.Hour
)

// By pg_inherits' indexes. A partition that is being detached is not read.
const partitionsSQL = `
	SELECT substring(bound FROM $$FROM \('([^']*)'\)$$)::timestamptz,
	       substring(bound FROM $$TO \('([^']*)'\)$$)::timestamptz
	FROM (SELECT pg_get_expr(c.relpartbound, c.oid) AS bound
	      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	      WHERE i.inhparent = 'events'::regclass AND NOT i.inhdetachpending) AS partitions
	ORDER BY 1 NULLS FIRST`

// spanCache remembers the partitions of events.
type spanCache struct {
	mu     sync.Mutex
	spans  []span // oldest first; never changed, only replaced
	loaded time.Time
}

// timeline answers all of time, oldest first, cut at the bounds of partitions.
func (r *Reader) timeline(ctx context.Context, conn *pgx.Conn) ([]span, error) {
	r.spans.mu.Lock()
	spans, age := r.spans.spans, r.now().Sub(r.spans.loaded)
	r.spans.mu.Unlock()
	if spans != nil && age < spansAge {
		return spans, nil
	}
	partitions, err := loadPartitions(ctx, conn)
	if err != nil {
		return nil, err
	}
	spans = fill(partitions, r.now().Add(ahead))
	r.spans.mu.Lock()
	defer r.spans.mu.Unlock()
	r.spans.spans, r.spans.loaded = spans, r.now()
	return spans, nil
}

func loadPartitions(ctx context.Context, conn *pgx.Conn) ([]span, error) {
	rows, err := conn.Query(ctx, partitionsSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (span, error) {
		var lower, upper pgtype.Timestamptz
		err := row.Scan(&lower, &upper)
		return span{bound(lower), bound(upper)}, err
	})
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
// Partitions that begin after horizon share the last span.
func fill(partitions []span, horizon time.Time) []span {
	var (
		spans []span
		end   time.Time // of the last span
	)
	for _, p := range partitions {
		if !p.lower.IsZero() && p.lower.After(horizon) {
			break
		}
		if !p.lower.IsZero() && !p.lower.Equal(end) {
			spans = append(spans, span{end, p.lower}) // a gap; at first, all that is before
		}
		spans = append(spans, p)
		end = p.upper
		if end.IsZero() {
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
