package store

import (
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The append transaction, step by step. READ COMMITTED is part of the design: each statement has to
// see what was committed while the one before it waited for a lock.
const (
	beginSQL = `BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE`

	// A deferred constraint of an operator's own would refuse a row at COMMIT, where none can be told from
	// the others any more.
	checkAtOnceSQL = `SET CONSTRAINTS ALL IMMEDIATE`

	// The migration whose rules an append keeps: the database refuses writers of an earlier one.
	writerSQL = `SET LOCAL audittrail.writer = '6'`
)

// transaction is one try of a plan.
type transaction struct {
	conn *pgx.Conn
	plan *plan

	batch      int64 // drawn from a sequence; a try that fails leaves a hole, positions have none
	verdicts   []verdict
	survivors  []int32 // of plan.events, in the batch's order
	duplicates int
	conflicts  int
	outcomes   []Outcome // of plan.ranges
}

// fencedError: these partitions are not where the batch begins. Nothing was written.
type fencedError struct{ ranges []Range }

func (e *fencedError) Error() string {
	return fmt.Sprintf("%d partitions are fenced off", len(e.ranges))
}

// refusedError: PostgreSQL itself will not have one of the events, however often it is sent.
type refusedError struct{ cause error }

func (e *refusedError) Error() string { return "PostgreSQL refused an event: " + e.cause.Error() }
func (e *refusedError) Unwrap() error { return e.cause }
