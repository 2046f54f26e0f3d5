package evidence

import (
	"bufio"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/ledger"
)

// BundleReader reads an evidence bundle, and makes sure that it has a bundle's form from its beginning to its
// end. It holds one entry at a time, and looks at nothing that an entry says.
type BundleReader struct {
	meter *meter
	d     *jsontext.Decoder
	texts map[string]string // members that were read
	begun bool              // the entries' list was
	again bool              // a second reading: what stands around the entries was read
	count int64
}

// errEntriesFirst says that the entries of a bundle stand before members that one has to know to verify
// them, as `jq -S` and PostgreSQL's jsonb order them. Such a bundle is read twice, so that it has to be a file.
var errEntriesFirst = errors.New("entries stand before the header")

// BundleHeader is what stands before a bundle's entries. Nothing vouches for it.
type BundleHeader struct {
	Log        ledger.Log
	Checkpoint []byte // the signed note
}

// NewBundleReader reads a bundle from its beginning.
func NewBundleReader(r io.Reader) *BundleReader {
	m := &meter{r: r, most: MaxEntry, left: MaxEntry}
	return newBundleReader(m, bufio.NewReader(m))
}

// newBundleReader reads what b has, which stands over m.
func newBundleReader(m *meter, b *bufio.Reader) *BundleReader {
	return &BundleReader{meter: m, d: jsontext.NewDecoder(b, jsontext.AllowDuplicateNames(true))}
}

// Count is how many entries were read.
func (x *BundleReader) Count() int64 { return x.count }

// Header reads what stands before the entries; it MUST be called first, and once. The error is a *Fault or an
// *UnreadableError, and ends the reading; so is a bundle whose entries stand before its header.
func (x *BundleReader) Header() (BundleHeader, error) {
	if token, err := x.d.ReadToken(); err != nil {
		return BundleHeader{}, x.unreadable(err)
	} else if token.Kind() != '{' {
		return BundleHeader{}, malformed("this is JSON, but no evidence bundle")
	}
	x.texts = map[string]string{}
	more, err := x.members()
	switch {
	case err != nil:
		return BundleHeader{}, err
	case !more:
		return BundleHeader{}, malformed("the bundle has no entries")
	case lacking(x.texts) != "":
		return BundleHeader{}, &UnreadableError{Cause: errEntriesFirst, Detail: fmt.Sprintf(
			"the bundle has no %s before its entries, so that it has to be read twice: give it as a file, not by a pipe", lacking(x.texts))}
	}
	return headerOf(x.texts)
}

// members reads members up to the entries, or to the bundle's end.
func (x *BundleReader) members() (entries bool, err error) {
	for {
		x.meter.next()
		token, err := x.d.ReadToken()
		if err != nil {
			return false, x.unreadable(err)
		}
		if token.Kind() == '}' {
			return false, nil
		}
		name := token.String()
		if name == "entries" {
			return true, nil
		}
		if err := x.text(x.texts, name); err != nil {
			return false, err
		}
	}
}

// headerBehind reads on to the bundle's end where Header returned that the entries stand first. It returns the
// header, of which parts stand behind the entries.
func (x *BundleReader) headerBehind() (BundleHeader, error) {
	var err error
	for err == nil {
		_, err = x.next()
	}
	if !errors.Is(err, errEntriesEnd) {
		return BundleHeader{}, err
	}
	if more, err := x.members(); err != nil {
		return BundleHeader{}, err
	} else if more {
		return BundleHeader{}, malformed("the bundle's member entries stands twice")
	}
	if err := x.eof(); !errors.Is(err, io.EOF) {
		return BundleHeader{}, err
	}
	return headerOf(x.texts)
}

// toEntries reads up to the entries of a bundle that was read to its end before.
func (x *BundleReader) toEntries() error {
	x.again = true
	if _, err := x.d.ReadToken(); err != nil {
		return x.unreadable(err)
	}
	x.texts = map[string]string{}
	_, err := x.members()
	return err
}

func malformed(format string, args ...any) *Fault {
	return &Fault{Kind: Malformed, Index: -1, Detail: fmt.Sprintf(format, args...)}
}

// text reads a member whose value is a text.
func (x *BundleReader) text(texts map[string]string, name string) error {
	_, twice := texts[name]
	switch {
	case len(texts) == 0 && !x.begun && (name == "type" || name == "title"): // RFC 9457
		return malformed("this tells of an error, as the API answers one, and is no evidence")
	case name != "format" && name != "log" && name != "checkpoint":
		return malformed("the bundle has a member %s, which is none of this format", ledger.Printable(name))
	case twice:
		return malformed("the bundle's member %s stands twice", name)
	}
	value, err := x.d.ReadToken()
	if err != nil {
		return x.unreadable(err)
	}
	if value.Kind() != '"' {
		return malformed("the bundle's member %s is not a text", name)
	}
	texts[name] = value.String()
	return nil
}

// lacking returns the first member of a header that is not there; "" if all are.
func lacking(texts map[string]string) string {
	for _, name := range []string{"format", "log", "checkpoint"} {
		if _, ok := texts[name]; !ok {
			return name
		}
	}
	return ""
}

func headerOf(texts map[string]string) (BundleHeader, error) {
	if name := lacking(texts); name != "" {
		return BundleHeader{}, malformed("the bundle has no %s", name)
	}
	if f := texts["format"]; f != BundleFormat {
		return BundleHeader{}, malformed("the bundle's format is %s; this program knows %s", ledger.Printable(f), BundleFormat)
	}
	log, err := ledger.ParseLog(texts["log"])
	if err != nil {
		return BundleHeader{}, malformed("the bundle's log %s", err.Error())
	}
	return BundleHeader{log, []byte(texts["checkpoint"])}, nil
}

// Next returns the next entry, which is JSON, and good until the next call. It is io.EOF when the bundle has
// ended and nothing follows it. Otherwise the error is a *Fault or an *UnreadableError, and ends the reading.
func (x *BundleReader) Next() (jsontext.Value, error) {
	raw, err := x.next()
	switch {
	case !errors.Is(err, errEntriesEnd):
		return raw, err
	case x.again:
		return nil, io.EOF
	}
	return nil, x.end()
}

var errEntriesEnd = errors.New("the list of entries has ended")

func (x *BundleReader) next() (jsontext.Value, error) {
	if !x.begun {
		if token, err := x.d.ReadToken(); err != nil {
			return nil, x.unreadable(err)
		} else if token.Kind() != '[' {
			return nil, malformed("the bundle's entries are not a list")
		}
		x.begun = true
	}
	if x.d.PeekKind() == ']' {
		if _, err := x.d.ReadToken(); err != nil {
			return nil, x.unreadable(err)
		}
		return nil, errEntriesEnd
	}
	x.meter.next()
	raw, err := x.d.ReadValue()
	if err != nil {
		return nil, x.unreadable(err)
	}
	x.count++
	return raw, nil
}

// end makes sure that nothing follows the entries; it is io.EOF then.
func (x *BundleReader) end() error {
	x.meter.next()
	token, err := x.d.ReadToken()
	if err != nil {
		return x.unreadable(err)
	}
	if token.Kind() != '}' {
		return malformed("the bundle's member %s stands behind the entries, and should not: it was there before, or is none of this format", ledger.Printable(token.String()))
	}
	return x.eof()
}

// eof makes sure that nothing follows the bundle; it is io.EOF then.
func (x *BundleReader) eof() error {
	_, err := x.d.ReadToken()
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, io.EOF):
		return io.EOF
	case err == nil, errors.As(err, &syntax), errors.Is(err, errMeter):
		return &UnreadableError{Detail: "something follows the bundle", Cause: err}
	}
	return &UnreadableError{Detail: "the file can't be read behind the bundle", Cause: err}
}

// unreadable says why the bundle can't be read on.
func (x *BundleReader) unreadable(err error) error {
	var syntax *jsontext.SyntacticError
	switch {
	case errors.Is(err, errMeter):
		return malformed("behind entry %d something is larger than any entry can be", x.count)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &UnreadableError{Detail: fmt.Sprintf("the file is cut, or empty: it ends at byte %d, in the middle of JSON", x.d.InputOffset()), Cause: io.ErrUnexpectedEOF}
	case errors.As(err, &syntax):
		return &UnreadableError{Detail: fmt.Sprintf("this is not JSON, from byte %d on", syntax.ByteOffset), Cause: err}
	}
	return &UnreadableError{Detail: "the file can't be read", Cause: err}
}
