package notary

import (
	"fmt"
	"strings"
	"time"

	"audittrail/modules/ledger"
)

// State is the content of a state file: what the notary remembers outside the database.
type State struct {
	Format string     `json:"format"` // "audittrail-notary/v1"
	Origin string     `json:"origin"` // ledger.origin
	Logs   []LogState `json:"logs"`   // the logs that were signed, each once
}

// LogState is the last checkpoint of one log.
type LogState struct {
	Log        ledger.Log `json:"log"`
	Checkpoint string     `json:"checkpoint"` // the signed note
	Previous   int64      `json:"previous"`   // size of the checkpoint before it; 0 for none
	SignedAt   time.Time  `json:"signedAt"`
}

// of returns the state of a log.
func (s State) of(log ledger.Log) (LogState, bool) {
	for _, l := range s.Logs {
		if l.Log == log {
			return l, true
		}
	}
	return LogState{}, false
}

// check returns an error if a state is not a valid one of this origin. It verifies no signature.
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

// merge returns the larger checkpoint of each log in s and in another state of the same origin. Of two with the
// same size it returns one with the signatures of both. Two roots of the same size are an error, since nothing
// that was signed may be forgotten.
func (s State) merge(other State) (State, error) {
	merged := State{Format: stateFormat, Origin: s.Origin, Logs: []LogState{}}
	for _, log := range ledger.Logs() {
		mine, have := s.of(log)
		theirs, known := other.of(log)
		switch {
		case !have && !known:
			continue
		case !have:
			mine = theirs
		case known:
			var err error
			if mine, err = mine.merge(theirs); err != nil {
				return State{}, err
			}
		}
		merged.Logs = append(merged.Logs, mine)
	}
	return merged, nil
}

// outruns reports whether another process has written a state file: s, its present state, has a larger checkpoint
// of a log than known, what this process last saw there, and it is not the one that is saved now. It is an
// error if s and known have checkpoints of the same size that differ.
func (s State) outruns(known, saving State) (bool, error) {
	for _, there := range s.Logs {
		c, _, err := there.parse()
		if err != nil {
			return false, err
		}
		before, err := known.checkpoint(there.Log)
		if err != nil {
			return false, err
		}
		mine, err := saving.checkpoint(there.Log)
		switch {
		case err != nil:
			return false, err
		case c.Size == before.Size && c.Text() != before.Text():
			return false, twoRoots(there.Log, before, c)
		case c.Size > before.Size && c.Text() != mine.Text():
			return true, nil
		}
	}
	return false, nil
}

// checkpoint returns a log's checkpoint, or one of size 0 if there is none.
func (s State) checkpoint(log ledger.Log) (ledger.Checkpoint, error) {
	l, ok := s.of(log)
	if !ok {
		return ledger.Checkpoint{}, nil
	}
	c, _, err := l.parse()
	return c, err
}

func (l LogState) merge(other LogState) (LogState, error) {
	mine, lines, err := l.parse()
	if err != nil {
		return LogState{}, err
	}
	theirs, _, err := other.parse()
	switch {
	case err != nil:
		return LogState{}, err
	case theirs.Size > mine.Size:
		return other, nil
	case theirs.Size < mine.Size:
		return l, nil
	case theirs.Text() != mine.Text():
		return LogState{}, twoRoots(l.Log, mine, theirs)
	}
	for line := range strings.Lines(lines) {
		if !strings.Contains(other.Checkpoint, "\n"+line) {
			other.Checkpoint += line
		}
	}
	return other, nil
}

func twoRoots(log ledger.Log, a, b ledger.Checkpoint) error {
	return fmt.Errorf("two checkpoints of the log %s are of %d entries, one of the root %s, one of %s", log, a.Size, a.Root, b.Root)
}

// parse parses the checkpoint and its signature lines. It verifies nothing.
func (l LogState) parse() (c ledger.Checkpoint, lines string, err error) {
	text, lines, signed := strings.Cut(l.Checkpoint, "\n\n")
	c, err = ledger.ParseCheckpoint(text + "\n")
	if err == nil && !signed {
		err = fmt.Errorf("the checkpoint of the log %s is not signed", l.Log)
	}
	return c, lines, err
}
