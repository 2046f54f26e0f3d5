package notary

import (
	"fmt"
	"strings"
	"time"

	"audittrail/modules/ledger"
)

// State is what the notary remembers outside the database, as its state file has it.
type State struct {
	Format string     `json:"format"` // "audittrail-notary/v1"
	Origin string     `json:"origin"` // ledger.origin
	Logs   []LogState `json:"logs"`   // the logs that were signed, at most one each
}

// LogState is what the notary signed last of one log.
type LogState struct {
	Log        ledger.Log `json:"log"`
	Checkpoint string     `json:"checkpoint"` // the signed note
	Previous   int64      `json:"previous"`   // size of the checkpoint before it; 0 for none
	SignedAt   time.Time  `json:"signedAt"`
}

// of is what the state has of a log.
func (s State) of(log ledger.Log) (LogState, bool) {
	for _, l := range s.Logs {
		if l.Log == log {
			return l, true
		}
	}
	return LogState{}, false
}

// check says what is wrong with a state of this origin. It verifies no signature.
func (s State) check(origin string) error {
	if s.Origin != origin {
		return fmt.Errorf("the state is of %q, but ledger.origin is %q: each ledger has a file of its own", s.Origin, origin)
	}
	seen := make(map[ledger.Log]bool)
	for _, l := range s.Logs {
		if _, err := ledger.ParseLog(string(l.Log)); err != nil || seen[l.Log] {
			return fmt.Errorf("names the log %q twice, or there is none", l.Log)
		}
		seen[l.Log] = true
	}
	return nil
}

// merge is s and what another state of the same origin knows beyond it: of each log the larger
// checkpoint, and of two of the same size one with the signatures of both. ahead tells that the other one
// has a larger one. Two roots of one size are an error: nothing may be forgotten that was signed.
func (s State) merge(other State) (merged State, ahead bool, err error) {
	merged = State{Format: stateFormat, Origin: s.Origin, Logs: []LogState{}}
	for _, log := range ledger.Logs() {
		mine, have := s.of(log)
		theirs, known := other.of(log)
		switch {
		case !have && !known:
			continue
		case !known:
		case !have:
			mine, ahead = theirs, true
		default:
			var more bool
			if mine, more, err = mine.merge(theirs); err != nil {
				return State{}, false, err
			}
			ahead = ahead || more
		}
		merged.Logs = append(merged.Logs, mine)
	}
	return merged, ahead, nil
}

// outruns reports whether a file's state has of a log more than was known when there was last a look at it,
// and not just what is to be saved now: another process has put that there. It is an error where the two
// are of one size, and differ.
func (s State) outruns(known, saving State) (bool, error) {
	if _, ahead, err := known.merge(s); err != nil || !ahead {
		return false, err
	}
	for _, there := range s.Logs {
		c, _, err := there.parse()
		if err != nil {
			return false, err
		}
		before, err := known.sizeOf(there.Log)
		if err != nil {
			return false, err
		}
		if c.Size <= before {
			continue
		}
		if mine, ok := saving.of(there.Log); ok {
			if m, _, err := mine.parse(); err != nil || m.Text() == c.Text() {
				if err != nil {
					return false, err
				}
				continue
			}
		}
		return true, nil
	}
	return false, nil
}

// sizeOf is the size of a log's checkpoint; 0 where there is none.
func (s State) sizeOf(log ledger.Log) (int64, error) {
	l, ok := s.of(log)
	if !ok {
		return 0, nil
	}
	c, _, err := l.parse()
	return c.Size, err
}

func (l LogState) merge(other LogState) (merged LogState, ahead bool, err error) {
	mine, lines, err := l.parse()
	if err != nil {
		return LogState{}, false, err
	}
	theirs, _, err := other.parse()
	switch {
	case err != nil:
		return LogState{}, false, err
	case theirs.Size > mine.Size:
		return other, true, nil
	case theirs.Size < mine.Size:
		return l, false, nil
	case theirs.Text() != mine.Text():
		return LogState{}, false, fmt.Errorf("two checkpoints of the log %s are of %d entries, one of the root %s, one of %s", l.Log, mine.Size, mine.Root, theirs.Root)
	}
	for line := range strings.Lines(lines) {
		if !strings.Contains(other.Checkpoint, "\n"+line) {
			other.Checkpoint += line
		}
	}
	return other, false, nil
}

// parse reads the checkpoint and its signature lines, and verifies nothing.
func (l LogState) parse() (c ledger.Checkpoint, lines string, err error) {
	text, lines, signed := strings.Cut(l.Checkpoint, "\n\n")
	c, err = ledger.ParseCheckpoint(text + "\n")
	if err == nil && !signed {
		err = fmt.Errorf("the checkpoint of the log %s is not signed", l.Log)
	}
	return c, lines, err
}
