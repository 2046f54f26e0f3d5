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
		UNION SELECT field, NULL FROM event_values_open`

	// By event_values' primary key, a look-up for each of $2 values at most. No row where the field is open.
	valuesSQL = `
		WITH RECURSIVE known AS (
			(SELECT value FROM event_values WHERE field = $1 ORDER BY value LIMIT 1)
			UNION ALL
			SELECT (SELECT value FROM event_values WHERE field = $1 AND value > known.value ORDER BY value LIMIT 1)
			FROM known WHERE known.value IS NOT NULL)
		SELECT value FROM known
		WHERE value IS NOT NULL AND NOT EXISTS (SELECT FROM event_values_open WHERE field = $1) LIMIT $2`
)

// mostGlobbed is how many values a field may have for scopes to be matched with them: each search looks all of them up.
const mostGlobbed = 300

// wanted are the values of which a visible event that fits the filter has one, by field, as far as event_values
// knows them.
func wanted(ctx context.Context, conn *pgx.Conn, f Filter) (map[string][]string, error) {
	wanted := f.wanted()
	for _, s := range scopesOf(ctx) {
		for field, globs := range s.globs() {
			values, given := wanted[field]
			if !given {
				known, err := valuesOf(ctx, conn, field, mostGlobbed)
				if err != nil {
					return nil, err
				}
				if known == nil {
					continue
				}
				values = known
			}
			wanted[field] = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return !fitsOne(globs, v) })
		}
	}
	return wanted, nil
}

// wanted are the filter's own values.
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

// occurring leaves out the spans in which none of the wanted values of a field occurs.
func occurring(ctx context.Context, conn *pgx.Conn, wanted map[string][]string, spans []span) ([]span, error) {
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

// valuesOf answers all values of a field; nil where there are more than most, or too many to know.
func valuesOf(ctx context.Context, conn *pgx.Conn, field string, most int) ([]string, error) {
	rows, err := conn.Query(ctx, valuesSQL, field, most+1)
	if err != nil {
		return nil, err
	}
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil || len(values) == 0 || len(values) > most {
		return nil, err
	}
	return values, nil
}
