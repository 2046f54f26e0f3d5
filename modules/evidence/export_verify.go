package evidence

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// isExport tells an export by its first bytes from other evidence. Whoever writes another spelling into
// it has another file.
func isExport(b *bufio.Reader) bool {
	for _, prefix := range []string{exportPrefix, trailerPrefix} {
		if start, _ := b.Peek(len(prefix)); string(start) == prefix {
			return true
		}
	}
	return false
}

// isCSV tells an export of CSV by its header: a column's name is, or begins with, that of an event's member.
func isCSV(b *bufio.Reader) bool {
	start, _ := b.Peek(64)
	start = bytes.TrimPrefix(start, []byte{'"'})
	for _, name := range event.StoredMembers() {
		rest, begins := bytes.CutPrefix(start, []byte(name))
		if begins && len(rest) > 0 && strings.IndexByte(",.\r\n", rest[0]) >= 0 {
			return true
		}
	}
	return false
}

// exportVerifier reads an export from its beginning to its end.
type exportVerifier struct {
	findings
	lines  *ExportReader
	keys   ledger.Keys
	each   func(Entry)
	report Report
	seen   indexSet
	last   Entry // the one of the highest position
}

func (v *exportVerifier) run() (Report, error) {
	v.report.Form, v.report.Log, v.last.Index = FormExport, ledger.Events, -1
	if v.lines.csv {
		v.report.Form = FormCSV
	}
	err := v.events()
	if err == nil {
		v.trailer()
	}
	v.report.Distinct = !v.lines.csv && !v.seen.full && !v.seen.repeated
	return v.report, v.outcome(err)
}

// events reads the lines up to the trailer. An error is a *Fault that ends the reading, or
// *UnreadableError.
func (v *exportVerifier) events() error {
	for {
		line, err := v.lines.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if v.lines.csv { // its cells can't be read back: which columns they are is anybody's choice
			v.report.Entries++
			v.each(Entry{Number: v.report.Entries, Index: -1})
			continue
		}
		if err := v.event(line); err != nil {
			return err
		}
	}
}

// event looks at one line. The error is *UnreadableError where it is no JSON.
func (v *exportVerifier) event(line []byte) error {
	v.report.Entries++
	e := Entry{Number: v.report.Entries, Index: -1}
	s, err := event.ParseStored(line)
	switch {
	case err == nil:
		e.Index, e.ID = s.Position, s.ID.String()
		if !v.seen.add(e.Index) {
			e.Fault = &Fault{Kind: Repeated, Detail: "its position stands in the file more than once"}
		}
	case !jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true)):
		v.report.Entries--
		return v.lines.noJSON(e.Number, err)
	default:
		e.ID, e.Fault = eventID(line), badEntry(err)
	}
	if e.Index > v.last.Index {
		v.last = e
	}
	if e.Fault != nil {
		e.Fault.Entry, e.Fault.Index, e.Fault.ID = e.Number, e.Index, e.ID
		v.note(e.Fault)
	}
	v.each(e)
	return nil
}

// trailer checks what the trailer says, and its checkpoint.
func (v *exportVerifier) trailer() {
	for _, fault := range v.lines.Misfits() {
		v.note(fault)
	}
	note := v.lines.Trailer().Checkpoint
	if note == "" {
		return
	}
	signed, fault := openFor(ledger.Events, []byte(note), v.keys)
	if fault != nil {
		v.note(fault)
		return
	}
	v.report.Checkpoint = signed
	// Only now it is known where the checkpoint ends: the highest position speaks for the others.
	if v.last.Index >= signed.Size {
		v.note(&Fault{Kind: WrongIndex, Entry: v.last.Number, Index: v.last.Index, ID: v.last.ID,
			Detail: fmt.Sprintf("the export was made by a checkpoint that speaks for the positions below %d only", signed.Size)})
	}
}
