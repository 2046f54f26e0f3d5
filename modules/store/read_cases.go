package store

import (
	"context"
	"fmt"
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

	// Begun is for workflows, with To: cases that have an event of this type before To go on behind it.
	Begun string
}

// CaseEvent is an event of a case.
type CaseEvent struct {
	Case string // the same for all events of a case, and no other; of no further meaning
	Type string
	At   time.Time
}

// caseKey names a workflow; it is no text that a caller chose alone.
const caseKey = `CASE jsonb_typeof(metadata -> 'correlationId') WHEN 'string' THEN 'c' || (metadata ->> 'correlationId')
	ELSE 'a' || length(aggregate_type) || ':' || aggregate_type || aggregate_id END COLLATE "C"`

// Cases calls each with the events that fit, case by case, in the order of the aggregate's history: by time, and by row
// where that is equal. It ends with each's error. More than MaxCaseEvents are refused as range_too_long.
func (r *Reader) Cases(ctx context.Context, f CaseFilter, each func(CaseEvent) error) error {
	return r.read(ctx, "read cases", func(ctx context.Context, conn *pgx.Conn) error {
		sql, args := f.sql(scopesOf(ctx))
		rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
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

// sql reads the cases. It uses events_aggregate where aggregates are the cases, else events_type. The inner LIMIT comes
// before the sort: what is too much is not sorted first.
func (f CaseFilter) sql(visible scopes) (string, []any) {
	const order = " AS found ORDER BY k, timestamp, id"
	c := &conditions{}
	key := caseKey
	if f.AggregateType != "" {
		c.add("aggregate_type = %s", f.AggregateType)
		key = "aggregate_id"
	}
	if f.EventTypes != nil {
		c.add("event_type = ANY (%s::text[])", f.EventTypes)
	}
	c.between("timestamp", f.From, f.To)
	columns := key + " AS k, event_type, timestamp, id"
	if f.Begun == "" || f.To.IsZero() {
		found, args := f.rows(columns, c, visible)
		return "SELECT k, event_type, timestamp FROM " + found + order, args
	}
	found, args := f.rows(columns+", metadata ->> 'correlationId' AS flow, aggregate_type AS about_type, aggregate_id AS about_id", c, visible)
	later := &conditions{args: args}
	later.add("event_type = ANY (%s::text[])", f.EventTypes)
	later.between("timestamp", f.To, time.Time{})
	later.terms = append(later.terms, caseKey+" = k")
	visible.limit(later)
	begun := later.bind(f.Begun)
	return "WITH first AS MATERIALIZED " + found + `, begun AS MATERIALIZED (SELECT DISTINCT k, flow, about_type, about_id FROM first WHERE event_type = ` + begun + `)
		SELECT k, event_type, timestamp FROM (SELECT k, event_type, timestamp, id FROM first` +
		f.behind(later, "(SELECT DISTINCT k, flow FROM begun WHERE k LIKE 'c%')", `(metadata ->> 'correlationId') COLLATE "C" = flow`) +
		f.behind(later, "(SELECT * FROM begun WHERE k LIKE 'a%')", "aggregate_type = about_type AND aggregate_id = about_id") +
		fmt.Sprintf(" LIMIT %d)", MaxCaseEvents+1) + order, later.args
}

func (f CaseFilter) rows(columns string, c *conditions, visible scopes) (string, []any) {
	return (&selection{branches: []string{"true"}, where: c, limit: MaxCaseEvents + 1}).rows(columns, visible)
}

// behind selects the later events of cases, which an index finds.
func (f CaseFilter) behind(later *conditions, cases, found string) string {
	return " UNION ALL SELECT k, event_type, timestamp, id FROM " + cases + " AS begun JOIN events ON " + found + " AND " + later.sql()
}
