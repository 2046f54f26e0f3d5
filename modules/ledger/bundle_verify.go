package ledger

import (
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// bundleVerifier reads a bundle from its beginning to its end.
type bundleVerifier struct {
	findings
	meter  *meter
	d      *jsontext.Decoder
	keys   Keys
	each   func(Entry)
	report Report
	texts  map[string]string // members before the entries
	seen   indexSet
}

func (v *bundleVerifier) run() (Report, error) {
	v.report.Form = FormBundle
	err := v.bundle()
	v.report.Distinct = !v.seen.full && !v.seen.repeated
	return v.report, v.outcome(err)
}

// bundle reads the outermost object. An error is a *Fault that ends the reading, or *UnreadableError.
func (v *bundleVerifier) bundle() error {
	if v.d.PeekKind() != '{' {
		if _, err := v.d.ReadToken(); err != nil {
			return v.unreadable(err)
		}
		return malformed("this is JSON, but no evidence bundle")
	}
	if _, err := v.d.ReadToken(); err != nil {
		return v.unreadable(err)
	}
	v.texts = map[string]string{}
	for {
		v.meter.next()
		name, err := v.d.ReadToken()
		if err != nil {
			return v.unreadable(err)
		}
		if name.Kind() == '}' {
			return malformed("the bundle has no entries")
		}
		text := name.String()
		if text == "entries" {
			break
		}
		if err := v.text(text); err != nil {
			return err
		}
	}
	if err := v.head(); err != nil {
		return err
	}
	if err := v.entries(); err != nil {
		return err
	}
	return v.end()
}

func malformed(format string, args ...any) *Fault {
	return &Fault{Kind: Malformed, Index: -1, Detail: fmt.Sprintf(format, args...)}
}

// text reads a member whose value is a text.
func (v *bundleVerifier) text(name string) error {
	_, twice := v.texts[name]
	switch {
	case len(v.texts) == 0 && (name == "type" || name == "title"): // RFC 9457
		return malformed("this tells of an error, as the API answers one, and is no evidence")
	case name != "format" && name != "log" && name != "checkpoint":
		return malformed("the bundle has a member %s, which is none of this format", printable(name))
	case twice:
		return malformed("the bundle's member %s stands twice", name)
	}
	value, err := v.d.ReadToken()
	if err != nil {
		return v.unreadable(err)
	}
	if value.Kind() != '"' {
		return malformed("the bundle's member %s is not a text", name)
	}
	v.texts[name] = value.String()
	return nil
}

// head checks what stands before the entries.
func (v *bundleVerifier) head() error {
	for _, name := range []string{"format", "log", "checkpoint"} {
		if _, ok := v.texts[name]; !ok {
			return malformed("the bundle has no %s before its entries", name)
		}
	}
	if f := v.texts["format"]; f != BundleFormat {
		return malformed("the bundle's format is %s; this program knows %s", printable(f), BundleFormat)
	}
	log, err := ParseLog(v.texts["log"])
	if err != nil {
		return malformed("the bundle's log %s", err.Error())
	}
	v.report.Log = log
	signed, fault := openFor(log, []byte(v.texts["checkpoint"]), v.keys)
	if fault != nil {
		return fault
	}
	v.report.Checkpoint = signed
	return nil
}

// entries reads and checks the entries. Only what ends the reading is an error.
func (v *bundleVerifier) entries() error {
	if token, err := v.d.ReadToken(); err != nil {
		return v.unreadable(err)
	} else if token.Kind() != '[' {
		return malformed("the bundle's entries are not a list")
	}
	for v.d.PeekKind() != ']' {
		v.meter.next()
		raw, err := v.d.ReadValue()
		if err != nil {
			return v.unreadable(err)
		}
		v.report.Entries++
		v.entry(raw)
	}
	_, err := v.d.ReadToken()
	return v.unreadable(err)
}

func (v *bundleVerifier) entry(raw jsontext.Value) {
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

// end makes sure that nothing follows the entries.
func (v *bundleVerifier) end() error {
	v.meter.next()
	token, err := v.d.ReadToken()
	if err != nil {
		return v.unreadable(err)
	}
	if token.Kind() != '}' {
		return malformed("the bundle's member %s stands behind the entries, which must be last", printable(token.String()))
	}
	_, err = v.d.ReadToken()
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return nil
	case err == nil, errors.As(err, &syntax), errors.Is(err, errMeter):
		return &UnreadableError{Detail: "something follows the bundle", Cause: err}
	}
	return &UnreadableError{Detail: "the file can't be read behind the bundle", Cause: err}
}

// unreadable says why the bundle can't be read on; nil where err is nil.
func (v *bundleVerifier) unreadable(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errMeter):
		return malformed("behind entry %d something is larger than any entry can be", v.report.Entries)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &UnreadableError{Detail: fmt.Sprintf("the file is cut, or empty: it ends at byte %d, in the middle of JSON", v.d.InputOffset()), Cause: err}
	case errors.As(err, &syntax):
		return &UnreadableError{Detail: fmt.Sprintf("this is not JSON, from byte %d on", syntax.ByteOffset), Cause: err}
	}
	return &UnreadableError{Detail: "the file can't be read", Cause: err}
}
