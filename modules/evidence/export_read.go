package evidence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"audittrail/modules/ledger"
)

// ExportReader reads an export's lines, or its rows, and checks its trailer: that it is there, is the last one, and
// fits what came before. It holds one at a time, and looks at nothing that it says.
type ExportReader struct {
	meter   *meter
	r       *bufio.Reader
	sum     hash.Hash
	csv     bool
	head    bool // the next row is the header
	count   int64
	line    []byte // or row
	trailer *Trailer
}

// NewExportReader reads an export of NDJSON from its beginning.
func NewExportReader(r io.Reader) *ExportReader {
	m := &meter{r: r, most: MaxEntry, left: MaxEntry}
	return newExportReader(m, bufio.NewReader(m))
}

// NewCSVReader reads an export of CSV from its beginning. A part that goes on where another ended has no header.
func NewCSVReader(r io.Reader, header bool) *ExportReader {
	x := NewExportReader(r)
	x.csv, x.head = true, header
	return x
}

// newExportReader reads what b has, which stands over m.
func newExportReader(m *meter, b *bufio.Reader) *ExportReader {
	return &ExportReader{meter: m, r: b, sum: sha256.New()}
}

// Trailer is the trailer, once Next has answered io.EOF; nil before.
func (x *ExportReader) Trailer() *Trailer { return x.trailer }

// Header is the header row of CSV, with its line end. It MUST be read before all else, and where there is one. The
// error is as that of Next.
func (x *ExportReader) Header() ([]byte, error) {
	if err := x.read(); err != nil {
		return nil, err
	}
	x.head = false
	x.sum.Write(x.line) // a hash never fails
	return x.line, nil
}

// Next is the next event's line or row, with its line end, good until the next call. It is io.EOF when the
// trailer was read and nothing follows it. Otherwise the error is a *Fault, which ends the reading too, or
// an *UnreadableError.
func (x *ExportReader) Next() ([]byte, error) {
	if x.trailer != nil {
		return nil, io.EOF
	}
	if x.head {
		if _, err := x.Header(); err != nil {
			return nil, err
		}
	}
	if err := x.read(); err != nil {
		return nil, err
	}
	prefix, parse := trailerPrefix, ParseTrailer
	if x.csv {
		prefix, parse = csvTrailerPrefix, ParseCSVTrailer
	}
	if !bytes.HasPrefix(x.line, []byte(prefix)) {
		x.count++
		x.sum.Write(x.line) // a hash never fails
		return x.line, nil
	}
	t, err := parse(x.line)
	switch {
	case errors.Is(err, errTrailerNoJSON):
		return nil, x.noJSON(x.count+1, err)
	case err != nil:
		return nil, malformed("%s %d begins as the trailer, and %s", x.noun(), x.count+1, err.Error())
	}
	x.meter.next()
	if _, err := x.r.ReadByte(); !errors.Is(err, io.EOF) {
		if err != nil && !errors.Is(err, errMeter) {
			return nil, &UnreadableError{Detail: "the file can't be read behind the trailer", Cause: err}
		}
		return nil, malformed("something follows the trailer in %s %d, which must be the last %[1]s", x.noun(), x.count+1)
	}
	x.trailer = &t
	return nil, io.EOF
}

// noun is what an export is made of, for people. The header is no row in this count.
func (x *ExportReader) noun() string {
	if x.csv {
		return "row"
	}
	return "line"
}

// read reads a line with its line feed, or a row with its line end: of CSV, a line feed between quotes is a text's.
func (x *ExportReader) read() error {
	x.meter.next()
	x.line = x.line[:0]
	quoted := false
	for {
		part, err := x.r.ReadSlice('\n')
		x.line = append(x.line, part...)
		if x.csv {
			quoted = quoted != (bytes.Count(part, []byte{'"'})%2 == 1) // a quote within quotes is doubled
		}
		switch {
		case err == nil && !quoted:
			return nil
		case err == nil:
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, errMeter):
			return malformed("%s %d is longer than any event can be", x.noun(), x.count+1)
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return &UnreadableError{Detail: "the file can't be read", Cause: err}
		case len(x.line) > 0:
			return &Fault{Kind: Incomplete, Index: -1, Detail: fmt.Sprintf("the file was cut in the middle of %s %d: its trailer is missing, and nobody knows how many events with it", x.noun(), x.count+1)}
		default:
			return &Fault{Kind: Incomplete, Index: -1, Detail: fmt.Sprintf("the file was cut behind %s %d: its trailer is missing, and nobody knows how many events with it", x.noun(), x.count)}
		}
	}
}

func (x *ExportReader) noJSON(line int64, cause error) *UnreadableError {
	return &UnreadableError{Detail: fmt.Sprintf("line %d is not JSON", line), Cause: cause}
}

// Misfits are what the trailer says of the lines that is not so: none where the export is whole. Next MUST
// have answered io.EOF.
func (x *ExportReader) Misfits() []*Fault {
	var faults []*Fault
	if x.count != x.trailer.Count {
		faults = append(faults, &Fault{Kind: WrongCount, Index: -1,
			Detail: fmt.Sprintf("the file holds %d events, but was made with %d, as its trailer says", x.count, x.trailer.Count)})
	}
	if ledger.Hash(x.sum.Sum(nil)) != x.trailer.Sum {
		faults = append(faults, &Fault{Kind: WrongHash, Index: -1,
			Detail: "the SHA-256 of the events' " + x.noun() + "s is not the one that the trailer says: they were changed after the file was made"})
	}
	return faults
}
