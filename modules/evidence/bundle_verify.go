package evidence

import (
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/ledger"
)

// bundleVerifier reads a bundle from its beginning to its end.
type bundleVerifier struct {
	findings
	bundle *BundleReader
	again  func() (*BundleReader, error) // reads the bundle from its beginning; nil for a pipe
	keys   ledger.Keys
	each   func(Entry)
	report Report
	seen   indexSet
}

func (v *bundleVerifier) run() (Report, error) {
	v.report.Form = FormBundle
	err := v.head()
	if err == nil {
		err = v.entries()
	}
	v.report.Distinct = !v.seen.full && !v.seen.repeated
	return v.report, v.outcome(err)
}

// head checks what stands before the entries. An error is a *Fault that ends the reading, or
// *UnreadableError; so is that of entries.
func (v *bundleVerifier) head() error {
	head, err := v.bundle.Head()
	if errors.Is(err, errEntriesFirst) {
		head, err = v.readTwice(err)
	}
	if err != nil {
		return err
	}
	v.report.Log = head.Log
	signed, fault := openFor(head.Log, head.Checkpoint, v.keys)
	if fault != nil {
		return fault
	}
	v.report.Checkpoint = signed
	return nil
}

// readTwice returns the head of a bundle that has its entries before it, and goes back to them. What is wrong
// around the entries counts, also where they can't be read again.
func (v *bundleVerifier) readTwice(first error) (BundleHead, error) {
	head, err := v.bundle.headBehind()
	if err != nil {
		return head, err
	}
	if v.again == nil {
		return head, first
	}
	if v.bundle, err = v.again(); err != nil {
		return head, &UnreadableError{Detail: "the file can't be read a second time", Cause: err}
	}
	return head, v.bundle.toEntries()
}

// entries checks each entry. Only what ends the reading is an error.
func (v *bundleVerifier) entries() error {
	for {
		raw, err := v.bundle.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		v.entry(raw)
	}
}

func (v *bundleVerifier) entry(raw jsontext.Value) {
	v.report.Entries++
	e, fault := readEntry(v.report.Log, raw)
	if fault == nil {
		fault = e.verify(&v.report.Checkpoint.Checkpoint)
	}
	if fault == nil && !v.seen.add(e.index) {
		fault = &Fault{Kind: Repeated, Detail: "it stands in the bundle more than once"}
	}
	if fault == nil {
		v.report.Proven++
	} else {
		fault.Entry, fault.Index, fault.ID = v.report.Entries, e.index, e.id
		v.note(fault)
	}
	v.each(Entry{Number: v.report.Entries, Index: e.index, ID: e.id, Fault: fault})
}
