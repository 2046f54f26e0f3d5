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

// ExportReader reads an export's lines, and checks its trailer: that it is there, is the last line, and
// fits what came before. It holds one line at a time, and looks at nothing that a line says.
type ExportReader struct {
	meter   *meter
	r       *bufio.Reader
	sum     hash.Hash
	count   int64
	line    []byte
	trailer *Trailer
}

// NewExportReader reads an export from its beginning.
func NewExportReader(r io.Reader) *ExportReader {
	m := &meter{r: r, most: MaxEntry, left: MaxEntry}
	return newExportReader(m, bufio.NewReader(m))
}

// newExportReader reads what b has, which stands over m.
func newExportReader(m *meter, b *bufio.Reader) *ExportReader {
	return &ExportReader{meter: m, r: b, sum: sha256.New()}
}

// Count is how many lines were read, without the trailer.
func (x *ExportReader) Count() int64 { return x.count }

// Trailer is the trailer, once Next has answered io.EOF; nil before.
func (x *ExportReader) Trailer() *Trailer { return x.trailer }

// Next is the next event's line, with its line feed, good until the next call. It is io.EOF when the
// trailer was read and nothing follows it. Otherwise the error is a *Fault, which ends the reading too, or
// an *UnreadableError.
func (x *ExportReader) Next() ([]byte, error) {
	if x.trailer != nil {
		return nil, io.EOF
	}
	if err := x.read(); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(x.line, []byte(trailerPrefix)) {
		x.count++
		x.sum.Write(x.line) // a hash never fails
		return x.line, nil
	}
	t, err := ParseTrailer(x.line)
	switch {
	case errors.Is(err, errTrailerNoJSON):
		return nil, x.noJSON(x.count+1, err)
	case err != nil:
		return nil, malformed("line %d begins as the trailer, and %s", x.count+1, err.Error())
	}
	x.meter.next()
	if _, err := x.r.ReadByte(); !errors.Is(err, io.EOF) {
		if err != nil && !errors.Is(err, errMeter) {
			return nil, &UnreadableError{Detail: "the file can't be read behind the trailer", Cause: err}
		}
		return nil, malformed("something follows the trailer in line %d, which must be the last line", x.count+1)
	}
	x.trailer = &t
	return nil, io.EOF
}

// read reads a line with its line feed.
func (x *ExportReader) read() error {
	x.meter.next()
	x.line = x.line[:0]
	for {
		part, err := x.r.ReadSlice('\n')
		x.line = append(x.line, part...)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, bufio.ErrBufferFull):
		case errors.Is(err, errMeter):
			return malformed("line %d is longer than any event can be", x.count+1)
		case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
			return &UnreadableError{Detail: "the file can't be read", Cause: err}
		case len(x.line) > 0:
			return &Fault{Kind: Incomplete, Index: -1, Detail: fmt.Sprintf("the file was cut in the middle of line %d: its trailer is missing, and nobody knows how many events with it", x.count+1)}
		default:
			return &Fault{Kind: Incomplete, Index: -1, Detail: fmt.Sprintf("the file was cut behind line %d: its trailer is missing, and nobody knows how many events with it", x.count)}
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
			Detail: "the SHA-256 of the events' lines is not the one that the trailer says: they were changed after the file was made"})
	}
	return faults
}
