package audit

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// UnreadableError is a statement that failed on what the tables hold: whoever may change everything may
// write values, types and pages that no statement of ours can read. The database itself answers.
type UnreadableError struct {
	What string // was to be read
	err  error
}

func (e *UnreadableError) Error() string { return e.What + ": " + e.Reason() }

func (e *UnreadableError) Unwrap() error { return e.err }

// Reason is what PostgreSQL or its driver says of it.
func (e *UnreadableError) Reason() string {
	var refused *pgconn.PgError
	if errors.As(e.err, &refused) {
		return refused.Message[:min(len(refused.Message), 1000)] + " (SQLSTATE " + refused.Code + ")"
	}
	return e.err.Error()
}

// Unreadable returns an *UnreadableError for an error about what a statement met, and any other as it is.
func Unreadable(what string, err error) error {
	if unreadable(err) {
		return &UnreadableError{What: what, err: err}
	}
	return err
}

// unreadable tells an error about what a statement met from one that any statement would have ended with:
// the connection is gone, somebody stopped it, a right or the server's means do not suffice.
func unreadable(err error) bool {
	var scan pgx.ScanArgError
	if errors.As(err, &scan) {
		return true
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.SeverityUnlocalized == "FATAL" || refused.SeverityUnlocalized == "PANIC" {
		return false
	}
	switch refused.Code {
	case "42501", "55P03": // insufficient_privilege, lock_not_available
		return false
	case "58P01": // undefined_file: a table's file is gone
		return true
	}
	// 26 and 72: a pooler that mixes sessions, and a snapshot that the server gave up.
	for _, class := range []string{"08", "25", "26", "40", "53", "57", "58", "72"} {
		if strings.HasPrefix(refused.Code, class) {
			return false
		}
	}
	return true
}
