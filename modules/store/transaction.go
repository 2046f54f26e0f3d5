package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The append transaction. READ COMMITTED is part of the design: each statement must see what was committed while the
// statement before it waited for a lock.
const (
	beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`

	// A deferred constraint that an operator added would fail at COMMIT, where it is too late to find the row.
	checkAtOnceSQL = `SET CONSTRAINTS ALL IMMEDIATE`

	// The migration whose rules an append follows. The database refuses writers of an earlier one.
	writerSQL = `SET LOCAL audittrail.writer = '6'`
)

// transaction is one try of a plan.
type transaction struct {
	conn *pgx.Conn
	plan *plan

	batch      int64 // from a sequence; a failed try leaves a gap in it, but none in the positions
	verdicts   []verdict
	survivors  []int32 // of plan.events, in the batch's order
	duplicates int
	conflicts  int
	outcomes   []Outcome // of plan.ranges
}

// begin (step 1) takes the locks by which one process alone stores what the plan holds.
func (t *transaction) begin(ctx context.Context) error {
	if t.plan.redrive != nil {
		return t.takeFates(ctx)
	}
	return t.fence(ctx)
}

// fencedError says that the next offsets of these partitions are not where the batch begins. Nothing was written.
type fencedError struct{ ranges []Range }

func (e *fencedError) Error() string {
	return fmt.Sprintf("%d partitions are fenced off", len(e.ranges))
}

// refusedError says that PostgreSQL refuses one of the events, and would do so each time.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return "PostgreSQL refused an event: " + e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }
