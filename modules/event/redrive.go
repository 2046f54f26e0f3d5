package event

import "strconv"

// Redrive says how a record that was a dead letter became an event after all. The event keeps it in
// metadata.audittrail, which producers can't send.
type Redrive struct {
	DeadLetter int64  // its id
	By         string // who asked for it
	Reason     string // why
	Edited     bool   // the value is not the record's own
}

// Redriven returns the event with the marker in its metadata. The marker is part of the ledger's leaf, and not of
// the dedupe digest. By and Reason MUST be valid UTF-8 without NUL.
func (v Valid) Redriven(r Redrive) Valid {
	b := append(make([]byte, 0, 120+len(r.By)+len(r.Reason)), `{"`+marker+`":{"deadLetter":`...)
	b = strconv.AppendInt(b, r.DeadLetter, 10)
	b = strconv.AppendBool(append(b, `,"edited":`...), r.Edited)
	b = appendText(append(b, `,"reason":`...), r.Reason)
	b = appendText(append(b, `,"redrivenBy":`...), r.By)
	marked := *v.v
	marked.event.Metadata, _ = mergeObjects(marked.event.Metadata, append(b, '}', '}'))
	return Valid{&marked}
}
