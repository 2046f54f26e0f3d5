package evidence

import (
	"fmt"
	"strconv"
)

// FaultKind is what is wrong with a piece of evidence. Programs match on it.
type FaultKind string

// The kinds of faults.
const (
	Malformed     FaultKind = "malformed"      // JSON or text, but not of this format
	BadSignature  FaultKind = "bad_signature"  // the checkpoint or its signature was changed
	UnknownKey    FaultKind = "unknown_key"    // nobody who is trusted signed the checkpoint
	WrongLog      FaultKind = "wrong_log"      // the checkpoint is another log's
	BadEntry      FaultKind = "bad_entry"      // what is shown can't have been stored so
	WrongIndex    FaultKind = "wrong_index"    // the entry's index is not its position, or beyond the checkpoint
	NotIncluded   FaultKind = "not_included"   // the entry is not in the log at its index as it is shown
	Repeated      FaultKind = "repeated"       // the entry is in the file twice
	NotConsistent FaultKind = "not_consistent" // the log is not shown to be that of an earlier checkpoint, and more
	Incomplete    FaultKind = "incomplete"     // the export was cut: its trailer is missing
	WrongCount    FaultKind = "count"          // the export has not as many lines as its trailer says
	WrongHash     FaultKind = "hash"           // the export's lines are not those that its trailer was made for
)

// Fault is one thing that evidence does not prove, in words for people.
type Fault struct {
	Kind   FaultKind
	Entry  int64    // which entry of the bundle, from 1; 0 where it is the whole
	Index  int64    // its index, as the bundle has it; -1 where none could be read
	ID     string   // the event's id, as far as it could be read
	Detail string   // what differs
	Keys   []string // of UnknownKey: who is said to have signed, <name>+<key id>
}

func (f *Fault) Error() string {
	if f.Entry == 0 {
		return f.Detail
	}
	s := "entry " + strconv.FormatInt(f.Entry, 10)
	if f.ID != "" {
		s += ", event " + f.ID
	}
	if f.Index >= 0 {
		s += ", position " + strconv.FormatInt(f.Index, 10)
	}
	return s + ": " + f.Detail
}

// NotProvenError says that evidence was read and does not prove what it says: somebody changed it, or it
// is verified with another's key. (The command's exit status is 3.)
type NotProvenError struct {
	Faults []*Fault // the first of them, a hundred at most; never none
	Count  int64    // how many there are

	// Unread says why the reading ended before the file did, where it was found to be unreadable behind
	// the faults; nil where all was read, and where a fault ended it.
	Unread *UnreadableError
}

func (e *NotProvenError) Error() string {
	if e.Count > 1 {
		return fmt.Sprintf("%s (and %d more)", e.Faults[0].Error(), e.Count-1)
	}
	return e.Faults[0].Error()
}

// Unwrap are the faults.
func (e *NotProvenError) Unwrap() []error {
	out := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		out[i] = f
	}
	return out
}

// UnreadableError says that evidence could not be read at all: the source failed, or it is no JSON, cut
// JSON included. (The command's exit status is 1.)
type UnreadableError struct {
	Detail string
	Cause  error // nil where there is none; may quote the text
}

func (e *UnreadableError) Error() string { return e.Detail }

func (e *UnreadableError) Unwrap() error { return e.Cause }
