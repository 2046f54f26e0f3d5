package ledger

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// MaxEntry bounds an entry of a bundle, and a textual proof, in bytes: well above the largest event.
const MaxEntry = 2 * event.RecordBytesLimit

// Report is what was verified.
type Report struct {
	Log        Log
	Checkpoint Signed
	Entries    int64 // read
	Proven     int64 // of them
	// Distinct says that no entry stands in the evidence twice. It is false too where a bundle is so
	// large and so scattered that looking for repeats was given up.
	Distinct bool
}

// Entry is an entry that was looked at.
type Entry struct {
	Number int64  // from 1
	Index  int64  // in the log; -1 where none could be read
	ID     string // the event's; "" where none could be read, and for the access log
	Fault  *Fault // nil where the entry is proven
}

// Verify checks evidence against the keys that its reader trusts: an evidence bundle, or a textual proof
// (C2SP tlog-proof) that carries its entry. each, unless it is nil, is told of every entry in order.
//
// The error is nil when every entry is in the log, as it is shown, at its index. It is a *NotProvenError
// when the evidence does not prove what it says, and an *UnreadableError when it can't be read or is no
// JSON. It needs memory for one entry, whatever the bundle's length.
func Verify(r io.Reader, keys Keys, each func(Entry)) (Report, error) {
	return verify(r, keys, each, MaxEntry)
}

// verify is Verify, with another bound than MaxEntry.
func verify(r io.Reader, keys Keys, each func(Entry), most int64) (Report, error) {
	if each == nil {
		each = func(Entry) {}
	}
	m := &meter{r: r, most: most, left: most}
	b := bufio.NewReader(m)
	if start, _ := b.Peek(len(textProofHeader)); string(start) == textProofHeader {
		return verifyText(b, keys, each)
	}
	v := bundleVerifier{meter: m, d: jsontext.NewDecoder(b, jsontext.AllowDuplicateNames(true)), keys: keys, each: each}
	return v.run()
}

// openFor verifies the checkpoint of evidence about a log.
func openFor(log Log, signed []byte, keys Keys) (Signed, *Fault) {
	opened, err := OpenCheckpoint(signed, keys)
	if err != nil {
		kind := Malformed
		var e *CheckpointError
		if errors.As(err, &e) {
			kind = e.Kind
		}
		return Signed{}, &Fault{Kind: kind, Index: -1, Detail: err.Error()}
	}
	if of, ok := LogOf(opened.Origin); !ok || of != log {
		return Signed{}, &Fault{Kind: WrongLog, Index: -1, Detail: fmt.Sprintf("the entries are of the log %q, but the checkpoint is of %s", log, printable(opened.Origin))}
	}
	return opened, nil
}
