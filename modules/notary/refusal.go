package notary

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"audittrail/modules/ledger"
)

// reason is why nothing is signed, as a metric's label.
type reason string

const (
	rolledBack  reason = "rolled_back" // the log is shorter than what was signed
	forked      reason = "forked"      // it has another root at the size that was signed, or lacks leaves
	tiles       reason = "tiles"       // its tiles don't fit its leaves
	checkpoints reason = "checkpoints" // checkpoints that were signed are gone, or there are ones that nobody of us signed
)

func reasons() []reason { return []reason{rolledBack, forked, tiles, checkpoints} }

// refusal says that a log is not what was signed, and more. It is no failure that passes: somebody has
// to look at the database.
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

// asRefusal turns what can't happen to an honest log into a refusal.
func asRefusal(log ledger.Log, err error) error {
	switch {
	case errors.Is(err, ledger.ErrIncomplete):
		return refuse(log, forked, "leaf hashes are missing: %v", err)
	case strings.HasPrefix(sqlState(err), "22"): // batches that overlap can't be cut
		return refuse(log, forked, "its batches don't follow on each other: %v", err)
	}
	return err
}

// setback is an error that keeps a part of the work from being done, but not the signing: the term goes on.
type setback struct{ err error }

func (s *setback) Error() string { return s.err.Error() }
func (s *setback) Unwrap() error { return s.err }

// split takes errors.Join apart: all refusals that it holds, and all else.
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

// fails tells that there is more than refusals and setbacks: nothing can be done on this session.
func fails(err error) bool {
	_, others := split(err)
	return slices.ContainsFunc(others, func(err error) bool {
		var s *setback
		return !errors.As(err, &s)
	})
}

// kindsOf tells refusals apart that are worth a line in the log each; details change from round to round.
func kindsOf(refusals []*refusal) string {
	var kinds []string
	for _, r := range refusals {
		kinds = append(kinds, string(r.log)+" "+string(r.reason))
	}
	slices.Sort(kinds)
	return strings.Join(slices.Compact(kinds), ", ")
}
