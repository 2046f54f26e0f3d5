package notary

import (
	"errors"
	"fmt"

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
	case sqlState(err)[:2] == "22": // batches that overlap can't be cut
		return refuse(log, forked, "its batches don't follow on each other: %v", err)
	}
	return err
}

func refused(err error) bool {
	var r *refusal
	return errors.As(err, &r)
}

// kindOf tells refusals apart that are worth a line in the log each; details change from round to round.
func kindOf(err error) string {
	var r *refusal
	if errors.As(err, &r) {
		return string(r.log) + " " + string(r.reason)
	}
	return ""
}
