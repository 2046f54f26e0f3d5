package store

import (
	"context"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// selection says which rows of events a statement reads. Every reader of events makes one, and it is the
// only thing that becomes a SELECT … FROM events: what holds for all readers has its place in here.
type selection struct {
	// branches are the parts of the table to read, one after the other, each as a condition on timestamp
	// and id. They are SQL and hold literals, so that each is planned by its own partition's statistics:
	// they MUST be made of the store's own numbers and times, never of a caller's text.
	branches []string
	where    *conditions // must hold in every branch
	order    string      // of the rows within a branch; "" where there is one row
	limit    int         // most rows in all
	bitmap   bool        // the rows are found by a BRIN index, which the planner must not pass by
}

// sql returns the statement and its arguments. Append runs its branches in their order, so that the outer
// LIMIT ends the statement in the first ones that are enough. A branch that stands alone has its limit
// already.
func (s *selection) sql() (string, []any) {
	c := conditions{terms: s.where.terms, args: slices.Clone(s.where.args)}
	limit := " LIMIT " + c.bind(s.limit)
	order := ""
	if s.order != "" {
		order = " ORDER BY " + s.order
	}
	branches := make([]string, len(s.branches))
	for i, bounds := range s.branches {
		branches[i] = "(SELECT " + eventColumns + " FROM events WHERE " + bounds + " AND " + c.sql() + order + limit + ")"
	}
	rows := branches[0]
	if len(branches) > 1 {
		rows = strings.Join(branches, " UNION ALL ") + limit
	}
	return "SELECT " + eventColumns + ", " + positionColumn + " FROM (" + rows + ") AS e", c.args
}

// readInto fills the page with the selection's rows. When the page is full the connection is dropped rather
// than drained: what is left may be a gigabyte.
func (s *selection) readInto(ctx context.Context, conn *pgx.Conn, page *collector) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if s.bitmap {
		undo, err := onlyBitmaps(ctx, conn)
		if err != nil {
			return err
		}
		defer undo()
	}
	sql, args := s.sql()
	rows, err := conn.Query(ctx, sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		r, err := scanEvent(rows)
		if err != nil {
			return err
		}
		if !page.add(r) {
			if page.bytes < r.size() && len(page.rows) < page.limit {
				cancel() // rows.Close then closes the connection, and the pool makes another
			}
			return nil
		}
	}
	return rows.Err()
}

// onlyBitmaps makes the planner read tables by bitmaps until undo is called: it takes a BRIN index for costlier
// than reading everything in order.
func onlyBitmaps(ctx context.Context, conn *pgx.Conn) (undo func(), err error) {
	if _, err := conn.Exec(ctx, "SET enable_seqscan = off; SET enable_indexscan = off"); err != nil {
		return nil, err
	}
	return func() {
		if _, err := conn.Exec(context.WithoutCancel(ctx), "RESET enable_seqscan; RESET enable_indexscan"); err != nil {
			_ = conn.Close(context.WithoutCancel(ctx)) // nobody else may get it like this
		}
	}, nil
}
