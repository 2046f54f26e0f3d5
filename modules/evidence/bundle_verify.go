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
	err := v.header()
	if err == nil {
		err = v.entries()
	}
	v.report.Distinct = !v.seen.full && !v.seen.repeated
	return v.report, v.outcome(err)
}

// header checks what stands before the entries. An error is a *Fault that ends the reading, or
// *UnreadableError; so is that of entries.
func (v *bundleVerifier) header() error {
	header, err := v.bundle.Header()
	if errors.Is(err, errEntriesFirst) {
		header, err = v.readTwice(err)
	}
	if err != nil {
		return err
	}
	v.report.Log = header.Log
	signed, fault := openFor(header.Log, header.Checkpoint, v.keys)
	if fault != nil {
		return fault
	}
	v.report.Checkpoint = signed
	return nil
}

// readTwice returns the header of a bundle that has its entries before it, and goes back to them. What is wrong
// around the entries counts, also where they can't be read again.
func (v *bundleVerifier) readTwice(first error) (BundleHeader, error) {
	header, err := v.bundle.headerBehind()
	if err != nil {
		return header, err
	}
	if v.again == nil {
		return header, first
	}
	if v.bundle, err = v.again(); err != nil {
		return header, &UnreadableError{Detail: "the file can't be read a second time", Cause: err}
	}
	return header, v.bundle.toEntries()
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
