package audit

import (
	"errors"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// UnreadableError says that a statement failed on what the tables hold: somebody may have written values, types or
// pages that our statements can't read. The database itself still answers.
type UnreadableError struct {
	What string // what was to be read
	err  error
}

func (e *UnreadableError) Error() string { return e.What + ": " + e.Reason() }

func (e *UnreadableError) Unwrap() error { return e.err }

// Reason returns what PostgreSQL or its driver said.
func (e *UnreadableError) Reason() string {
	var refused *pgconn.PgError
	if errors.As(e.err, &refused) {
		return refused.Message[:min(len(refused.Message), 1000)] + " (SQLSTATE " + refused.Code + ")"
	}
	return e.err.Error()
}

// Unreadable returns an *UnreadableError for an error about what the tables hold, and any other error unchanged.
func Unreadable(what string, err error) error {
	if unreadable(err) {
		return &UnreadableError{What: what, err: err}
	}
	return err
}

// unreadable reports whether an error is about what the tables hold. It is not if any statement would have failed:
// the connection is lost, the statement was canceled, or a right, memory or disk space is missing.
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
	// 26: a pooler that mixes sessions. 72: a snapshot that the server gave up.
	for _, class := range []string{"08", "25", "26", "40", "53", "57", "58", "72"} {
		if strings.HasPrefix(refused.Code, class) {
			return false
		}
	}
	return true
}
