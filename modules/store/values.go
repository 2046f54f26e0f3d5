package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"audittrail/modules/event"
	"audittrail/modules/protect"
)

// The fields whose values event_values knows.
const (
	fieldEventType     = "eventType"
	fieldAggregateType = "aggregateType"
	fieldSource        = "source"
)

const (
	// mostValues is how many values of a field are tracked.
	mostValues = 10_000

	// mostSeen bounds what a connection remembers. Beyond it the connection forgets everything.
	mostSeen = 1 << 16
)

const (
	// Rows are in order of the key, as in every append, so appends can't deadlock.
	addValuesSQL = `INSERT INTO event_values (field, value, month)
		SELECT * FROM unnest($1::text[], $2::text[], $3::date[]) ON CONFLICT DO NOTHING`

	openFieldsSQL = `INSERT INTO event_values_open (field)
		SELECT field FROM event_values GROUP BY field HAVING count(DISTINCT value) > $1 ON CONFLICT DO NOTHING`
)

// value is a row of event_values.
type value struct {
	field, text string
	month       int // as monthOf has it
}

func compareValues(a, b value) int {
	return cmp.Or(cmp.Compare(a.field, b.field), cmp.Compare(a.text, b.text), cmp.Compare(a.month, b.month))
}

// seenValues are rows that event_values is known to have. They belong to a connection: a server that lost commits, or
// another server, is reached by a new connection.
type seenValues struct {
	values map[value]bool
	events map[string]bool // types, source and month of an event, together: one look-up for most events
	open   map[string]bool // fields that are not tracked
	key    []byte
}

// seenBy returns what a connection knows.
func seenBy(ctx context.Context, conn *pgx.Conn) (*seenValues, error) {
	const name = "audittrail.event_values"
	kept := conn.PgConn().CustomData()
	if seen, ok := kept[name].(*seenValues); ok {
		return seen, nil
	}
	seen := &seenValues{values: map[value]bool{}, events: map[string]bool{}, open: map[string]bool{}}
	if err := seen.readOpen(ctx, conn); err != nil {
		return nil, err
	}
	kept[name] = seen
	return seen, nil
}

func (s *seenValues) readOpen(ctx context.Context, conn *pgx.Conn) error {
	rows, err := conn.Query(ctx, `SELECT field FROM event_values_open`)
	if err != nil {
		return err
	}
	open, err := pgx.CollectRows(rows, pgx.RowTo[string])
	for _, field := range open {
		s.open[field] = true
	}
	return err
}

// noteValues commits the rows of event_values that an append of these events needs. It runs before the append's
// transaction: an extra row does no harm, but a missing one would hide events from searches.
func noteValues(ctx context.Context, conn *pgx.Conn, events []protect.Sealed) error {
	seen, err := seenBy(ctx, conn)
	if err != nil {
		return fmt.Errorf("read which fields are open: %w", err)
	}
	missing, keys := seen.missing(events)
	if len(missing) > 0 {
		if err := seen.commit(ctx, conn, missing); err != nil {
			return err
		}
	}
	seen.add(missing, keys)
	return nil
}

// commit stores values, and looks which fields are open then.
func (s *seenValues) commit(ctx context.Context, conn *pgx.Conn, missing []value) error {
	fields, texts, months := make([]string, len(missing)), make([]string, len(missing)), make([]time.Time, len(missing))
	for i, v := range missing {
		fields[i], texts[i] = v.field, v.text
		months[i] = firstDay(v.month)
	}
	added, err := conn.Exec(ctx, addValuesSQL, fields, texts, months)
	if err != nil {
		return fmt.Errorf("note values: %w", err)
	}
	if added.RowsAffected() > 0 {
		if _, err := conn.Exec(ctx, openFieldsSQL, mostValues); err != nil {
			return fmt.Errorf("mark fields of many values: %w", err)
		}
		if err := s.readOpen(ctx, conn); err != nil {
			return fmt.Errorf("read which fields are open: %w", err)
		}
	}
	return nil
}

// missing returns the values of the events that are not known yet, in order, and the keys of those events that are
// new together.
func (s *seenValues) missing(events []protect.Sealed) ([]value, map[string]bool) {
	found, keys := map[value]bool{}, map[string]bool{}
	for i := range events {
		e := events[i].Event()
		key := s.keyOf(e)
		if s.events[string(key)] || keys[string(key)] {
			continue
		}
		keys[string(key)] = true
		month := monthOf(e.Timestamp)
		for _, v := range []value{{fieldEventType, e.Type, month}, {fieldAggregateType, e.AggregateType, month}} {
			if !s.values[v] && !s.open[v.field] {
				found[v] = true
			}
		}
		if source, ok := e.Source(); ok && !s.open[fieldSource] {
			if v := (value{fieldSource, source, month}); !s.values[v] {
				found[v] = true
			}
		}
	}
	missing := make([]value, 0, len(found))
	for v := range found {
		missing = append(missing, v)
	}
	slices.SortFunc(missing, compareValues)
	return missing, keys
}

// add remembers values that are now committed, and the keys of events that have no others.
func (s *seenValues) add(values []value, keys map[string]bool) {
	if len(s.values)+len(s.events) > mostSeen {
		clear(s.values)
		clear(s.events)
	}
	for _, v := range values {
		s.values[v] = true
	}
	maps.Copy(s.events, keys)
}

// keyOf returns an event's month, types and source as one text. It is valid until the next call.
func (s *seenValues) keyOf(e *event.Event) []byte {
	b := strconv.AppendInt(s.key[:0], int64(monthOf(e.Timestamp)), 10)
	b = append(append(b, 0), e.Type...)
	b = append(append(b, 0), e.AggregateType...)
	if source := e.RawSource(); !s.open[fieldSource] {
		b = append(append(b, 0), source...)
	}
	s.key = b
	return b
}
