package notary

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"audittrail/modules/ledger"
)

// reason is why nothing is signed. It is a label of a metric.
type reason string

const (
	rolledBack  reason = "rolled_back" // the log is shorter than what was signed
	forked      reason = "forked"      // the log has another root at a signed size, or lacks leaves
	tiles       reason = "tiles"       // the log's tiles do not fit its leaves
	checkpoints reason = "checkpoints" // signed checkpoints are gone, or none of our keys has signed one
)

func reasons() []reason { return []reason{rolledBack, forked, tiles, checkpoints} }

// refusal says that a log is not an extension of what was signed. It does not pass by itself: somebody has to
// examine the database.
type refusal struct {
	log    ledger.Log
	reason reason
	detail string
}

func (r *refusal) Error() string {
	return fmt.Sprintf("nothing is signed: the log %s: %s", r.log, r.detail)
}

func refuse(log ledger.Log, why reason, format string, args ...any) error {
	return &refusal{log, why, fmt.Sprintf(format, args...)}
}

// asRefusal returns a refusal for an error that can't happen with an honest log, and any other error unchanged.
func asRefusal(log ledger.Log, err error) error {
	switch {
	case errors.Is(err, ledger.ErrIncomplete):
		return refuse(log, forked, "leaf hashes are missing: %v", err)
	case strings.HasPrefix(sqlState(err), "22"): // overlapping batches can't be sliced
		return refuse(log, forked, "its batches do not follow on each other: %v", err)
	}
	return err
}

// setback is an error that stops a part of the work, but not the signing. The term goes on.
type setback struct{ err error }

func (s *setback) Error() string { return s.err.Error() }
func (s *setback) Unwrap() error { return s.err }

// split returns the refusals in a joined error, and all other errors.
func split(err error) (refusals []*refusal, others []error) {
	if err == nil {
		return nil, nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			r, o := split(one)
			refusals, others = append(refusals, r...), append(others, o...)
		}
		return refusals, others
	}
	if r := (*refusal)(nil); errors.As(err, &r) {
		return []*refusal{r}, nil
	}
	return nil, []error{err}
}

func refused(err error) bool {
	refusals, _ := split(err)
	return len(refusals) > 0
}

// fails reports whether err has more than refusals and setbacks, so that the session can't be used on.
func fails(err error) bool {
	_, others := split(err)
	return slices.ContainsFunc(others, func(err error) bool {
		var s *setback
		return !errors.As(err, &s)
	})
}

// kindsOf returns logs and reasons of refusals. A change of these is logged; details change with each round.
func kindsOf(refusals []*refusal) string {
	var kinds []string
	for _, r := range refusals {
		kinds = append(kinds, string(r.log)+" "+string(r.reason))
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ", ")
}
