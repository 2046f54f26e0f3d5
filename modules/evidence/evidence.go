// Package evidence has the files that prove: evidence bundles, exports and textual proofs (C2SP tlog-proof). It
// writes them, and verifies them offline with nothing but public keys. Formats are in docs/EVIDENCE.md.
//
// It is pure: it reads from readers and writes to writers that its callers give, and knows neither the store
// nor a database. Proofs and checkpoints themselves are package ledger's.
package evidence

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// MaxEntry bounds an entry of a bundle, and a textual proof, in bytes: well above the largest event.
const MaxEntry = 2 * event.RecordBytesLimit

// Form is what a file of evidence is.
type Form string

// The forms.
const (
	FormBundle     Form = "bundle"     // an evidence bundle
	FormTextProof  Form = "tlog-proof" // a textual proof (C2SP tlog-proof)
	FormExport     Form = "export"     // NDJSON with a trailer, which shows completeness, and proves nothing
	FormCSV        Form = "csv"        // CSV with a trailer, which shows completeness; its cells are not looked at
	FormCheckpoint Form = "checkpoint" // a signed checkpoint alone, without any entry
)

// Report is what was verified.
type Report struct {
	Form       Form
	Log        ledger.Log
	Checkpoint ledger.Signed // zero where none could be trusted; of an export also where none was signed yet
	Entries    int64         // read
	Proven     int64         // of them; of an export none ever is
	// Distinct says that no entry stands in the evidence twice. It is false too where a bundle is so
	// large and so scattered that looking for repeats was given up, and of CSV.
	Distinct bool
}

// IsExport says whether the form shows completeness, and proves nothing.
func (f Form) IsExport() bool { return f == FormExport || f == FormCSV }

// Entry is an entry that was looked at.
type Entry struct {
	Number int64  // from 1
	Index  int64  // in the log; -1 where none could be read
	ID     string // the event's; "" where none could be read, and for the access log
	Fault  *Fault // nil where the entry is proven
}

// Verify checks evidence against the keys that its reader trusts: an evidence bundle, a textual proof
// (C2SP tlog-proof) that carries its entry, an export, or a checkpoint alone. each, unless it is nil, is told
// of every entry in order.
//
// The error is nil when every entry is in the log, as it is shown, at its index; of an export, which has
// no proofs, when it is complete and unchanged since it was made. It is a *NotProvenError when the
// evidence does not prove what it says, and an *UnreadableError when it can't be read or is no JSON; the
// report says what was found up to there. It needs memory for one entry, whatever the file's length.
//
// A bundle whose entries stand before its checkpoint can't be verified from a reader: it is an
// *UnreadableError. VerifyFile verifies it.
func Verify(r io.Reader, keys ledger.Keys, each func(Entry)) (Report, error) {
	return verify(r, nil, keys, each, MaxEntry)
}

// VerifyFile is Verify of evidence that may be read twice: open returns a reader of it from its beginning. A
// bundle's members may stand in any order there.
func VerifyFile(open func() (io.Reader, error), keys ledger.Keys, each func(Entry)) (Report, error) {
	r, err := open()
	if err != nil {
		return Report{}, &UnreadableError{Detail: "the file can't be read", Cause: err}
	}
	return verify(r, open, keys, each, MaxEntry)
}

// verify is Verify, with another bound than MaxEntry.
func verify(r io.Reader, again func() (io.Reader, error), keys ledger.Keys, each func(Entry), most int64) (Report, error) {
	if each == nil {
		each = func(Entry) {}
	}
	m := &meter{r: r, most: most, left: most}
	b := bufio.NewReader(m)
	if start, _ := b.Peek(len(textProofHeader)); string(start) == textProofHeader {
		return verifyText(b, keys, each)
	}
	if isCheckpoint(b) {
		return verifyCheckpoint(b, keys)
	}
	if isExport(b) {
		v := exportVerifier{lines: newExportReader(m, b), keys: keys, each: each}
		return v.run()
	}
	if isCSV(b) {
		v := exportVerifier{lines: newExportReader(m, b), keys: keys, each: each}
		v.lines.csv, v.lines.head = true, true
		return v.run()
	}
	v := bundleVerifier{bundle: newBundleReader(m, b), keys: keys, each: each}
	if again != nil {
		v.again = func() (*BundleReader, error) {
			r, err := again()
			if err != nil {
				return nil, err
			}
			m := &meter{r: r, most: most, left: most}
			return newBundleReader(m, bufio.NewReader(m)), nil
		}
	}
	return v.run()
}

// openFor verifies the checkpoint of evidence about a log; "" where that is not known, since the checkpoint
// stands alone.
func openFor(log ledger.Log, signed []byte, keys ledger.Keys) (ledger.Signed, *Fault) {
	opened, err := ledger.OpenCheckpoint(signed, keys)
	if err != nil {
		fault := &Fault{Kind: Malformed, Index: -1, Detail: err.Error()}
		var e *ledger.CheckpointError
		if errors.As(err, &e) {
			fault.Kind, fault.Keys = FaultKind(e.Kind), e.Keys
		}
		return ledger.Signed{}, fault
	}
	of, ok := ledger.LogOf(opened.Origin)
	switch {
	case log == "" && !ok:
		return ledger.Signed{}, &Fault{Kind: WrongLog, Index: -1, Detail: fmt.Sprintf("the checkpoint is of %s, which is no log of events or of accesses", ledger.Printable(opened.Origin))}
	case of != log:
		return ledger.Signed{}, &Fault{Kind: WrongLog, Index: -1, Detail: fmt.Sprintf("the entries are of the log %q, but the checkpoint is of %s", log, ledger.Printable(opened.Origin))}
	}
	return opened, nil
}
