package store

import (
	"context"
	"fmt"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
)

// Summary is what there is of some events.
type Summary struct {
	Total    int64
	Bytes    int64            // of their JSON, about
	From, To time.Time        // the earliest and the latest timestamp; zero where there is no event
	Types    map[string]int64 // how many of each event type
	Sealed   int64            // how many have sealed values, erased ones among them
	Closed   int64            // of them, how many the reader may not open
	Erased   int64            // of them, how many have erased values; 0 where there are no keys

	First, Last *event.Stored // by position; nil where there is no event
}

// summaryTimeout is how long a summary may take: it reads every event that matches.
const summaryTimeout = time.Minute

// summarySQL sums up the rows of a selection, by the unique index (log, batch) of ledger_batches. $1 in it stands for
// the last position.
const (
	summaryColumns = `id, timestamp, event_type, 250 + octet_length(payload::text) + octet_length(metadata::text)
		+ octet_length(event_type) + octet_length(aggregate_type) + octet_length(aggregate_id) AS bytes,
		sealed IS NOT NULL AS is_sealed, CASE WHEN sealed IS NOT NULL THEN aggregate_type END AS sealed_type,
		CASE WHEN sealed IS NOT NULL THEN ` + sourceOf + ` END AS sealed_source`
	summarySQL = `SELECT event_type, count(*), sum(bytes)::bigint, min(timestamp), max(timestamp), min(position), max(position),
			is_sealed, coalesce(sealed_type, ''), coalesce(sealed_source, ''), sealed_source IS NOT NULL
		FROM (SELECT e.*, b.first_position + (e.id & 16383) AS position
			FROM (%s) AS e JOIN ledger_batches AS b ON b.log = 'events' AND b.batch = e.id >> 14) AS p
		WHERE position <= %s GROUP BY event_type, is_sealed, sealed_type, sealed_source`
)

// Summarize sums up the events that match and whose positions are until at most.
func (r *Reader) Summarize(ctx context.Context, f Filter, until int64) (Summary, error) {
	all := Summary{Types: map[string]int64{}}
	first, last := int64(math.MaxInt64), int64(-1)
	f, err := r.searching(ctx, f)
	if err != nil {
		return all, err
	}
	keys := newHeldKeys(r.opener)
	err = r.readFor(ctx, "sum up events", summaryTimeout, func(ctx context.Context, conn *pgx.Conn) error {
		where, spans, err := r.search(ctx, conn, f, f.From, f.To)
		if err != nil {
			return err
		}
		restore, err := patient(ctx, conn, summaryTimeout)
		if err != nil {
			return err
		}
		defer restore()
		for step := 0; len(spans) > 0; step++ {
			var part []span
			part, spans = cut(spans, step)
			s := &selection{branches: conditionsOf(part), where: where, limit: math.MaxInt32}
			if err := s.summarize(ctx, conn, until, &all, &first, &last, keys); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || all.Total == 0 {
		return all, err
	}
	if all.Erased, err = keys.erased(ctx); err != nil {
		return all, err
	}
	if all.First, err = r.at(ctx, first); err == nil {
		all.Last, err = r.at(ctx, last)
	}
	return all, err
}

// at returns the event at a position that is known to be there.
func (r *Reader) at(ctx context.Context, position int64) (*event.Stored, error) {
	page, err := r.Feed(ctx, Filter{}, position-1, 1)
	if err == nil && (len(page.Items) == 0 || page.Items[0].Position != position) {
		err = fmt.Errorf("event at position %d: %w", position, errCorrupt)
	}
	if err != nil {
		return nil, err
	}
	return &page.Items[0], nil
}

func (s *selection) summarize(ctx context.Context, conn *pgx.Conn, until int64, all *Summary, first, last *int64, keys *heldKeys) error {
	undo, err := s.plannerSettings(ctx, conn)
	if err != nil {
		return err
	}
	defer undo()
	rows, args := s.rows(summaryColumns, scopesOf(ctx))
	sql := fmt.Sprintf(summarySQL, rows, fmt.Sprint("$", len(args)+1))
	found, err := conn.Query(ctx, sql, append(append([]any{pgx.QueryExecModeExec}, args...), until)...)
	if err != nil {
		return err
	}
	var (
		kind                       string
		count, bytes, lowest, most int64
		from, to                   time.Time
		sealed, sourced            bool
		aggregate, source          string
	)
	opening, before := formOf(ctx), all.Sealed
	_, err = pgx.ForEachRow(found, []any{&kind, &count, &bytes, &from, &to, &lowest, &most, &sealed, &aggregate, &source, &sourced}, func() error {
		all.Total, all.Bytes = all.Total+count, all.Bytes+bytes
		all.Types[kind] += count
		all.From, all.To = earlier(all.From, utc(from)), later(all.To, utc(to))
		*first, *last = min(*first, lowest), max(*last, most)
		if sealed {
			all.Sealed += count
			if !opening.opens || !opening.scope.Shows(kind, aggregate, source, sourced) {
				all.Closed += count
			}
		}
		return nil
	})
	if err == nil && all.Sealed > before {
		err = s.noteKeys(ctx, conn, until, keys)
	}
	return err
}

// patient gives statements on a connection more time than its pool does, until restore is called.
func patient(ctx context.Context, conn *pgx.Conn, most time.Duration) (restore func(), err error) {
	const set = "SELECT set_config('statement_timeout', $1, false)"
	var before string // to which RESET would not return where a pooler has dropped the pool's own
	if err := conn.QueryRow(ctx, "SHOW statement_timeout").Scan(&before); err != nil {
		return nil, err
	}
	if _, err := conn.Exec(ctx, set, fmt.Sprint(most.Milliseconds())); err != nil {
		return nil, err
	}
	return func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), set, before); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // nobody else may get it like this
		}
	}, nil
}

// FeedBatch is Feed for a job that sends what it has read.
func (r *Reader) FeedBatch(ctx context.Context, f Filter, after int64, limit, bytes int) (FeedPage, error) {
	return r.feed(ctx, f, after, limit, bytes)
}
