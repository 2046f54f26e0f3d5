package evidence

import "errors"

// maxFaults is how many faults are kept.
const maxFaults = 100

// findings are the faults that were found in a file, in their order.
type findings struct {
	faults []*Fault // the first of them
	count  int64
}

func (f *findings) note(fault *Fault) {
	if f.count++; len(f.faults) < maxFaults {
		f.faults = append(f.faults, fault)
	}
}

// outcome is what Verify answers, where err is what ended the reading: nil at the file's end, a *Fault, or
// *UnreadableError. What was found before a file ends unreadable counts, however it goes on.
func (f *findings) outcome(err error) error {
	var fault *Fault
	if errors.As(err, &fault) {
		f.note(fault)
		err = nil
	}
	if f.count == 0 {
		return err
	}
	found := &NotProvenError{Faults: f.faults, Count: f.count}
	errors.As(err, &found.Unread)
	return found
}
