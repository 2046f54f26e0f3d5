package store

import (
	"context"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// It uses the primary key of event_values, once per value. One snapshot has the months and the open fields.
	monthsSQL = `
		SELECT v.field, v.month FROM unnest($1::text[], $2::text[]) AS wanted (field, value)
			JOIN event_values AS v ON v.field = wanted.field AND v.value = wanted.value
		UNION ALL SELECT field, NULL FROM event_values_open`

	// It uses the primary key of event_values, once per type. It returns no row if the field is open.
	aggregateTypesSQL = `
		WITH RECURSIVE types AS (
			(SELECT value FROM event_values WHERE field = 'aggregateType' ORDER BY value LIMIT 1)
			UNION ALL
			SELECT (SELECT value FROM event_values WHERE field = 'aggregateType' AND value > types.value ORDER BY value LIMIT 1)
			FROM types WHERE types.value IS NOT NULL)
		SELECT value FROM types
		WHERE value IS NOT NULL AND NOT EXISTS (SELECT FROM event_values_open WHERE field = 'aggregateType')`
)

// wanted returns the filter's values of fields that event_values has, by field.
func (f Filter) wanted() map[string][]string {
	wanted := map[string][]string{}
	if len(f.EventTypes) > 0 {
		wanted[fieldEventType] = f.EventTypes
	}
	if f.AggregateType != "" {
		wanted[fieldAggregateType] = []string{f.AggregateType}
	}
	if f.Source != "" {
		wanted[fieldSource] = []string{f.Source}
	}
	return wanted
}

// occurring returns the spans without those in which one of the filter's types or its source does not occur.
func occurring(ctx context.Context, conn *pgx.Conn, f Filter, spans []span) ([]span, error) {
	wanted := f.wanted()
	if len(wanted) == 0 || len(spans) == 0 {
		return spans, nil
	}
	var fields, values []string
	months := map[string][]span{}
	for field, texts := range wanted {
		months[field] = nil
		for _, text := range texts {
			fields, values = append(fields, field), append(values, text)
		}
	}
	rows, err := conn.Query(ctx, monthsSQL, fields, values)
	if err != nil {
		return nil, err
	}
	var (
		field string
		month *time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&field, &month}, func() error {
		if month == nil {
			delete(months, field)
		} else if _, known := months[field]; known {
			months[field] = append(months[field], monthSpan(*month))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(spans, func(s span) bool {
		for _, occurs := range months {
			if !slices.ContainsFunc(occurs, func(m span) bool { return s.overlaps(m.lower, m.upper) }) {
				return true
			}
		}
		return false
	}), nil
}

// monthSpan returns the time of a month of event_values.
func monthSpan(first time.Time) span {
	s := span{lower: first.UTC(), upper: first.UTC().AddDate(0, 1, 0)}
	if monthOf(s.lower) == firstMonth {
		s.lower = time.Time{}
	}
	return s
}

// aggregateTypes returns all types of aggregates, or nil if there are too many to track.
func aggregateTypes(ctx context.Context, conn *pgx.Conn) ([]string, error) {
	rows, err := conn.Query(ctx, aggregateTypesSQL)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}
