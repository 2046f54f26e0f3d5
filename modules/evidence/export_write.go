package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"audittrail/modules/event"
)

// Trailer is the last line of an export, or the last row: what tells a whole export from a cut or damaged one. Nobody
// signs it, so it proves nothing about the events; a bundle does.
type Trailer struct {
	Count      int64             // events before the trailer
	Sum        [sha256.Size]byte // SHA-256 of all bytes before the trailer's line or row
	Checkpoint string            // the signed note that the export was made by; "" where none was signed yet
}

const (
	trailerPrefix = `{"complete":`
	exportPrefix  = `{"eventId":` // of an event's line
)

var (
	errTrailer       = errors.New("is not a trailer as exports have it")
	errTrailerNoJSON = errors.New("is not JSON")
)

// Append appends the trailer's line of NDJSON, with its line feed.
func (t Trailer) Append(dst []byte) ([]byte, error) {
	dst = append(dst, trailerPrefix+`true,"count":`...)
	dst = strconv.AppendInt(dst, t.Count, 10)
	dst = append(dst, `,"sha256":"`...)
	dst = hex.AppendEncode(dst, t.Sum[:])
	dst = append(dst, `","checkpoint":`...)
	dst, err := jsontext.AppendQuote(dst, t.Checkpoint)
	if err != nil {
		return nil, fmt.Errorf("write checkpoint: %w", err)
	}
	return append(dst, '}', '\n'), nil
}

// ParseTrailer reads the line that Append writes, and no other spelling of it. It checks nothing of what
// the trailer says.
func ParseTrailer(line []byte) (Trailer, error) {
	if !jsontext.Value(line).IsValid(jsontext.AllowDuplicateNames(true)) {
		return Trailer{}, errTrailerNoJSON
	}
	var t Trailer
	rest, ok := bytes.CutPrefix(line, []byte(trailerPrefix+`true,"count":`))
	count, rest, found := bytes.Cut(rest, []byte(`,"sha256":"`))
	sum, rest, more := bytes.Cut(rest, []byte(`","checkpoint":`))
	note, ends := bytes.CutSuffix(rest, []byte("}\n"))
	if t.Count = parseIndex(count); !ok || !found || !more || !ends || t.Count < 0 || len(sum) != 2*sha256.Size {
		return Trailer{}, errTrailer
	}
	if _, err := hex.Decode(t.Sum[:], sum); err != nil {
		return Trailer{}, errTrailer
	}
	text, err := jsontext.AppendUnquote(nil, note)
	if err != nil {
		return Trailer{}, errTrailer
	}
	t.Checkpoint = string(text)
	if again, err := t.Append(nil); err != nil || !bytes.Equal(again, line) {
		return Trailer{}, errTrailer
	}
	return t, nil
}

// ExportWriter writes an export: events, one a line or a row, and the trailer. It keeps one event at a time.
// Without Close, also after an error, there is no trailer, so nobody takes it for whole.
type ExportWriter struct {
	w       io.Writer
	signed  string
	event   func(dst []byte, s *event.Stored) []byte    // appends an event
	trailer func(t Trailer, dst []byte) ([]byte, error) // appends the trailer
	sum     hash.Hash
	count   int64
	space   []byte // of what is written next
}

// NewExportWriter begins an export as NDJSON: events as the API lists them, with the members that fields names, or
// all where it is nil. signed is the signed checkpoint whose size all events' positions MUST be below, or empty
// where none was signed yet.
func NewExportWriter(w io.Writer, signed string, fields []string) *ExportWriter {
	return newExportWriter(w, signed, func(dst []byte, s *event.Stored) []byte {
		if fields == nil {
			return append(s.AppendJSON(dst), '\n')
		}
		return append(s.AppendSelected(dst, fields), '\n')
	}, Trailer.Append)
}

func newExportWriter(w io.Writer, signed string, event func([]byte, *event.Stored) []byte, trailer func(Trailer, []byte) ([]byte, error)) *ExportWriter {
	return &ExportWriter{w: w, signed: signed, event: event, trailer: trailer, sum: sha256.New()}
}

// Events writes events, in their order.
func (x *ExportWriter) Events(events []event.Stored) error {
	for i := range events {
		x.space = x.event(x.space[:0], &events[i])
		x.sum.Write(x.space) // a hash never fails
		x.count++
		if err := x.flush(); err != nil {
			return err
		}
	}
	return nil
}

// Close writes the trailer. It MUST be called only when all events were written. It does not close the
// writer below.
func (x *ExportWriter) Close() (err error) {
	t := Trailer{Count: x.count, Checkpoint: x.signed}
	x.sum.Sum(t.Sum[:0])
	if x.space, err = x.trailer(t, x.space[:0]); err != nil {
		return err
	}
	return x.flush()
}

func (x *ExportWriter) flush() error {
	if _, err := x.w.Write(x.space); err != nil {
		return fmt.Errorf("write export: %w", err)
	}
	return nil
}
