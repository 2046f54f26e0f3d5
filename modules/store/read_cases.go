package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// MaxCaseEvents is how many events one question about cases reads at most.
const MaxCaseEvents = 500_000

// CaseFilter says which events of which cases to read.
type CaseFilter struct {
	AggregateType string    // its aggregates are the cases; "": workflows are, by correlation id, and events without one by aggregate
	EventTypes    []string  // only these; nil for all
	From, To      time.Time // From inclusive, To exclusive; zero: open
}

// CaseEvent is an event of a case.
type CaseEvent struct {
	Case string // the same for all events of a case, and no other; of no further meaning
	Type string
	At   time.Time
}

// Cases calls each with the events that fit, case by case, in the order of the aggregate's history: by time, and by row
// where that is equal. It ends with each's error. More than MaxCaseEvents are refused as range_too_long.
func (r *Reader) Cases(ctx context.Context, f CaseFilter, each func(CaseEvent) error) error {
	return r.read(ctx, "read cases", func(ctx context.Context, conn *pgx.Conn) error {
		c := &conditions{}
		key := `CASE jsonb_typeof(metadata -> 'correlationId') WHEN 'string' THEN 'c' || (metadata ->> 'correlationId')
			ELSE 'a' || length(aggregate_type) || ':' || aggregate_type || aggregate_id END COLLATE "C"`
		if f.AggregateType != "" { // by events_aggregate
			c.add("aggregate_type = %s", f.AggregateType)
			key = "aggregate_id"
		}
		if f.EventTypes != nil { // by events_type
			c.add("event_type = ANY (%s::text[])", f.EventTypes)
		}
		if !f.From.IsZero() {
			c.add("timestamp >= %s", f.From)
		}
		if !f.To.IsZero() {
			c.add("timestamp < %s", f.To)
		}
		// The inner LIMIT comes before the sort: what is too much is not sorted first.
		found, args := (&selection{branches: []string{"true"}, where: c, limit: MaxCaseEvents + 1}).rows(key+" AS k, event_type, timestamp, id", scopesOf(ctx))
		rows, err := conn.Query(ctx, "SELECT k, event_type, timestamp FROM "+found+" AS found ORDER BY k, timestamp, id", append([]any{pgx.QueryExecModeExec}, args...)...)
		if err != nil {
			return err
		}
		var e CaseEvent
		n := 0
		_, err = pgx.ForEachRow(rows, []any{&e.Case, &e.Type, &e.At}, func() error {
			if n++; n > MaxCaseEvents {
				return tooLong("there are more than %d events to follow: give a shorter time", MaxCaseEvents)
			}
			e.At = utc(e.At)
			return each(e)
		})
		return err
	})
}
