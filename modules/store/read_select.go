package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"audittrail/modules/event"
)

// selection says which rows of events a statement reads. Every SELECT … FROM events is made from one, so what holds
// for all readers is here.
type selection struct {
	// branches are the parts of the table to read, in order, each as a condition on timestamp and id. They are SQL
	// with literals, so that each is planned with its own partition's statistics. They MUST be made from the
	// store's own numbers and times, never from a caller's text.
	branches []string
	where    *conditions // must hold in every branch
	order    string      // of the rows in a branch; "" for a single row
	limit    int         // at most so many rows in total
	prepared bool        // the SQL is that of many selections
	whole    bool        // the branches are short: their rows are read whole, whatever the condition
}

// single says that at most one row fits.
func (s *selection) single() bool { return s.order == "" }

// sql returns the statement that reads the rows, and its arguments. A single row comes with the first position of its
// batch; for a list that is a further statement, since PostgreSQL would look it up for each row.
func (s *selection) sql(visible scopes) (string, []any) {
	rows, args := s.rows(eventColumns, visible)
	if s.single() {
		return "SELECT " + eventColumns + ", " + positionColumn + " FROM (" + rows + ") AS e", args
	}
	return "SELECT " + eventColumns + " FROM (" + rows + ") AS e", args
}

// countSQL returns the statement that counts the rows, and its arguments.
func (s *selection) countSQL(visible scopes) (string, []any) {
	rows, args := s.rows("", visible)
	return "SELECT count(*) FROM (" + rows + ") AS e", args
}

// rows selects columns of what is visible. Append runs the branches in their order, so that the outer LIMIT ends the statement in
// the first ones that are enough. A branch that stands alone has its limit already.
func (s *selection) rows(columns string, visible scopes) (string, []any) {
	c := conditions{terms: slices.Clone(s.where.terms), args: slices.Clone(s.where.args)}
	visible.limit(&c)
	limit := " LIMIT " + c.bind(s.limit)
	order := ""
	if s.order != "" {
		order = " ORDER BY " + s.order
	}
	branches := make([]string, len(s.branches))
	for i, bounds := range s.branches {
		branches[i] = s.branch(columns, bounds, c.sql(), order, limit)
	}
	if len(branches) == 1 {
		return branches[0], c.args
	}
	return strings.Join(branches, " UNION ALL ") + limit, c.args
}

// branch selects columns of one part of the table. Where there are several ways to fit, each is looked for by its own
// index.
func (s *selection) branch(columns, bounds, common, order, limit string) string {
	ways := s.where.ways
	switch {
	case len(ways) == 0:
		return "(SELECT " + columns + " FROM events WHERE " + bounds + " AND " + common + order + limit + ")"
	case s.whole:
		terms := make([]string, len(ways))
		for i, w := range ways {
			terms[i] = "(" + w.term + ")"
		}
		return "(SELECT " + columns + " FROM events WHERE " + bounds + " AND " + common + " AND (" + strings.Join(terms, " OR ") + ")" + order + limit + ")"
	}
	parts := make([]string, len(ways))
	for i, w := range ways {
		parts[i] = "(SELECT " + columns + w.from(bounds, common) + w.by(order) + limit + ")"
	}
	return "(SELECT * FROM (" + strings.Join(parts, " UNION ALL ") + ") AS ways" + order + limit + ")"
}

// from returns FROM and WHERE of a way's events within bounds. A token finds them in the order of the primary key of
// sealed_tokens, so that a page ends with the first rows that are enough; OFFSET 0 keeps the planner from another order,
// since it expects far too few rows of the two columns together. Of several rows of an event the first one counts.
func (w way) from(bounds, common string) string {
	if w.token == "" {
		return " FROM events WHERE " + bounds + " AND " + common + " AND " + w.term
	}
	return " FROM (SELECT timestamp AS found_timestamp, id AS found_id FROM sealed_tokens AS f WHERE " + w.token + " AND " + bounds +
		" AND (EXISTS (SELECT FROM sealed_tokens AS o WHERE " + w.token + " AND o.timestamp = f.timestamp AND o.id = f.id" +
		" AND (o.token, o.key, o.place) < (f.token, f.key, f.place))) IS FALSE) AS found" +
		" CROSS JOIN LATERAL (SELECT * FROM events WHERE timestamp = found_timestamp AND id = found_id AND " + bounds + " AND " + common +
		" AND " + w.term + " OFFSET 0) AS events"
}

// count counts the rows.
func (s *selection) count(ctx context.Context, conn *pgx.Conn) (n int64, err error) {
	undo, err := s.plannerSettings(ctx, conn)
	if err != nil {
		return 0, err
	}
	defer undo()
	sql, args := s.countSQL(scopesOf(ctx))
	err = conn.QueryRow(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...).Scan(&n)
	return n, err
}

// ids returns the rows' event ids.
func (s *selection) ids(ctx context.Context, conn *pgx.Conn) ([]event.ID, error) {
	sql, args := s.rows("event_id", scopesOf(ctx))
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (id event.ID, err error) {
		err = row.Scan((*[16]byte)(&id))
		return id, err
	})
}

// estimate asks the planner how many rows there are, whatever the limit. It knows of no scope, so it is for
// readers who see everything.
func (s *selection) estimate(ctx context.Context, conn *pgx.Conn) (int64, error) {
	if !Unscoped(ctx) {
		return 0, errEstimate
	}
	from := " FROM events WHERE " + s.where.sql()
	if ways := s.where.ways; len(ways) > 0 {
		parts := make([]string, len(ways))
		for i, w := range ways {
			parts[i] = "(SELECT" + w.from("true", s.where.sql()) + ")"
		}
		from = " FROM (" + strings.Join(parts, " UNION ALL ") + ") AS ways"
	}
	var plans []struct {
		Plan struct {
			Rows float64 `json:"Plan Rows"`
		}
	}
	if err := conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) SELECT"+from, append([]any{pgx.QueryExecModeExec}, s.where.args...)...).Scan(&plans); err != nil {
		return 0, err
	}
	if len(plans) != 1 {
		return 0, fmt.Errorf("EXPLAIN answered %d plans", len(plans))
	}
	return int64(plans[0].Plan.Rows), nil
}

// readInto fills the page with the selection's rows.
func (s *selection) readInto(ctx context.Context, conn *pgx.Conn, page *collector) error {
	sql, args := s.sql(scopesOf(ctx))
	if !s.prepared {
		args = append([]any{pgx.QueryExecModeExec}, args...)
	}
	before := len(page.rows)
	undo, err := s.plannerSettings(ctx, conn)
	if err != nil {
		return err
	}
	err = s.scanInto(ctx, conn, page, sql, args)
	undo()
	if err != nil || s.single() {
		return err
	}
	return number(ctx, conn, page.rows[before:])
}

// scanInto reads the statement's rows into the page until it is full.
func (s *selection) scanInto(ctx context.Context, conn *pgx.Conn, page *collector, sql string, args []any) error {
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		var r row
		if s.single() {
			r, err = scanNumbered(rows)
		} else {
			r, err = scanRow(rows)
		}
		if err != nil {
			return err
		}
		if !page.add(r) {
			if page.bytes < r.size() && len(page.rows) < page.limit {
				return s.abandon(ctx, conn, rows)
			}
			return nil
		}
	}
	return rows.Err()
}

// abandon ends a statement without reading what is left of it, which may be a gigabyte.
func (s *selection) abandon(ctx context.Context, conn *pgx.Conn, rows pgx.Rows) error {
	bounded, cancel := context.WithTimeout(ctx, acquireTimeout)
	defer cancel()
	if err := conn.PgConn().CancelRequest(bounded); err != nil {
		return fmt.Errorf("cancel a statement: %w", err)
	}
	rows.Close()
	var pg *pgconn.PgError
	if err := rows.Err(); err != nil && (!errors.As(err, &pg) || pg.Code != queryCanceled) {
		return err
	}
	return nil
}

// plannerSettings makes the planner take a BRIN index where one finds the rows, until undo is called: it judges
// such an index to be costlier than reading everything in order.
func (s *selection) plannerSettings(ctx context.Context, conn *pgx.Conn) (undo func(), err error) {
	if !s.where.bitmap {
		return func() {}, nil
	}
	if _, err := conn.Exec(ctx, "SET enable_seqscan = off; SET enable_indexscan = off"); err != nil {
		return nil, err
	}
	return func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "RESET enable_seqscan; RESET enable_indexscan"); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // nobody else may get it like this
		}
	}, nil
}
