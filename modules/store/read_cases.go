package store

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// MaxCaseEvents is how many events one question about cases reads at most.
	MaxCaseEvents = 500_000

	// maxCaseTypes is how many event types these may have: their names are the producers' choice, and take memory.
	maxCaseTypes = 1000

	// maxCaseIDs is how many bytes the ids of their cases may have, which are as long as producers make them.
	maxCaseIDs = 64 << 20

	// caseBatch is how many cases one statement looks up.
	caseBatch = 1000
)

// CaseFilter says which events of which cases to read.
type CaseFilter struct {
	AggregateType string    // its aggregates are the cases; "": workflows are, by correlation id, and events without one by aggregate
	EventTypes    []string  // only these; nil for all
	From, To      time.Time // From inclusive, To exclusive; zero: open

	// IsOpen is for workflows, with To. It gets a case's events before a time, and reports whether later ones tell more of
	// it: such a case is followed beyond To. nil: none is.
	IsOpen func([]CaseEvent) bool
}

// CaseEvent is an event of a case.
type CaseEvent struct {
	Type string
	At   time.Time
}

// Cases calls each with the events of each case in the order of the aggregate's history: by time, and by row where that is
// equal. The slice is good until each returns. More than MaxCaseEvents are refused as range_too_long.
//
// The events are sorted here and not by PostgreSQL, which takes longer for it than for reading them.
func (r *Reader) Cases(ctx context.Context, f CaseFilter, each func([]CaseEvent)) error {
	var found *cases
	err := r.read(ctx, "read cases", func(ctx context.Context, conn *pgx.Conn) error {
		found = newCases() // the read may be tried again
		return inSnapshot(ctx, conn, func() error {
			sql, args := f.sql(scopesOf(ctx))
			if err := found.read(ctx, conn, sql, args); err != nil || f.IsOpen == nil || f.To.IsZero() {
				return err
			}
			return r.follow(ctx, conn, f, found)
		})
	})
	if err != nil {
		return err
	}
	for i := range found.keys {
		each(found.events(i))
	}
	return nil
}

// inSnapshot has all statements see the same events, and use the same connection where a pooler is in between.
func inSnapshot(ctx context.Context, conn *pgx.Conn, read func() error) error {
	one := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(ctx, conn, one, func(pgx.Tx) error { return read() })
}

// follow reads what came later of the cases that are open. The first statement reads a month, and each next one twice as
// many: most cases end soon, and those that never do are looked up in all months.
func (r *Reader) follow(ctx context.Context, conn *pgx.Conn, f CaseFilter, found *cases) error {
	open := found.open(f.IsOpen)
	if len(open) == 0 {
		return nil
	}
	spans, err := r.timeline(ctx, conn, f.To, time.Time{})
	if err != nil {
		return err
	}
	for n := 1; len(spans) > 0 && len(open) > 0; n *= 2 {
		n = min(n, len(spans))
		part := span{lower: spans[0].lower, upper: spans[n-1].upper}
		spans = spans[n:]
		before := len(found.rows)
		sought, err := found.within(ctx, conn, part, open)
		if err != nil {
			return err
		}
		for some := range slices.Chunk(sought, caseBatch) {
			for _, look := range f.later(part, found, some, scopesOf(ctx)) {
				if err := found.read(ctx, conn, look.sql, look.args); err != nil {
					return err
				}
			}
		}
		open = slices.DeleteFunc(open, func(i int) bool { return found.last[i] >= before && !f.IsOpen(found.events(i)) })
	}
	return nil
}

// within leaves those of the cases out whose correlation ids are less or greater than all that the part of the time has.
// Where such ids grow with time, as UUIDv7 do, these are all cases that ended long before. It uses events_correlation.
func (c *cases) within(ctx context.Context, conn *pgx.Conn, part span, all []int) ([]int, error) {
	end := func(order string) (string, []any) {
		flows := &conditions{terms: []string{flowOf + " IS NOT NULL"}}
		return (&selection{branches: []string{part.condition()}, where: flows, order: flowOf + order, limit: 1}).rows(flowOf, nil)
	}
	first, args := end("")
	last, _ := end(" DESC") // its arguments are the same
	var least, most *string
	if err := conn.QueryRow(ctx, "SELECT "+first+", "+last, append([]any{pgx.QueryExecModeExec}, args...)...).Scan(&least, &most); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(all), func(n int) bool {
		flow, kind, _ := c.name(n)
		return kind == "" && (least == nil || flow < *least || flow > *most)
	}), nil
}

// caseColumns are what cases.read reads, in its order. %s is the case's key.
const caseColumns = "event_type, timestamp, id, %s"

// flowKey is the key of a workflow, which cases.name takes apart. One column takes less time than three.
const flowKey = `coalesce('c' || (metadata ->> 'correlationId'), 'a' || octet_length(aggregate_type) || ':' || aggregate_type || aggregate_id)`

// sql reads the events of the time that is asked for. It uses events_aggregate where aggregates are the cases, else
// events_type, or reads a whole month.
func (f CaseFilter) sql(visible scopes) (string, []any) {
	c, key := &conditions{}, flowKey
	if f.AggregateType != "" {
		c.add("aggregate_type = %s", f.AggregateType)
		key = "aggregate_id"
	}
	if f.EventTypes != nil {
		c.add("event_type = ANY (%s::text[])", f.EventTypes)
	}
	c.between("timestamp", f.From, f.To)
	return (&selection{branches: []string{"true"}, where: c, limit: MaxCaseEvents + 1}).rows(fmt.Sprintf(caseColumns, key), visible)
}

// lookup is a statement of its own.
type lookup struct {
	sql  string
	args []any
}

// later reads the events of some cases in a part of the time beyond To. It uses events_correlation, and events_aggregate
// for cases without a correlation id.
func (f CaseFilter) later(part span, found *cases, some []int, visible scopes) (all []lookup) {
	var flows, kinds, ids []string
	for _, i := range some {
		if flow, kind, id := found.name(i); kind == "" {
			flows = append(flows, flow)
		} else {
			kinds, ids = append(kinds, kind), append(ids, id)
		}
	}
	limit := MaxCaseEvents + 1 - len(found.rows)
	add := func(sought, is string, names ...any) {
		c := &conditions{terms: []string{is}}
		for _, list := range names {
			sought = strings.Replace(sought, "%s", c.bind(list)+"::text[]", 1)
		}
		c.between("timestamp", f.To, time.Time{})
		c.add("event_type = ANY (%s::text[])", f.EventTypes)
		rows, args := (&selection{branches: []string{part.condition()}, where: c, limit: limit}).rows(fmt.Sprintf(caseColumns, flowKey), visible)
		all = append(all, lookup{"SELECT later.* FROM " + sought + " CROSS JOIN LATERAL " + rows + fmt.Sprintf(" AS later LIMIT %d", limit), args})
	}
	if len(flows) > 0 {
		add("unnest(%s) AS sought (flow)", flowOf+" = sought.flow", flows)
	}
	if len(kinds) > 0 {
		add("unnest(%s, %s) AS sought (kind, id)", "aggregate_type = sought.kind AND aggregate_id = sought.id AND "+flowOf+" IS NULL", kinds, ids)
	}
	return all
}
