package client

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/url"
	"slices"

	"audittrail/modules/evidence"
)

// exportCopy makes one export of its parts. It holds one line or row at a time, of evidence.MaxEntry at most, and
// the last one.
type exportCopy struct {
	out   *bufio.Writer
	isCSV bool
	each  func()

	size       string // of the log that it is an export of; "" where the API does not say
	sum        hash.Hash
	count      int64
	header     []byte // of CSV
	last       []byte // line or row
	checkpoint string // of the part that came to its end
}

func newExportCopy(dst io.Writer, isCSV bool, each func()) *exportCopy {
	return &exportCopy{out: bufio.NewWriterSize(dst, 64<<10), isCSV: isCSV, each: each, sum: sha256.New()}
}

// part copies one answer without its trailer, and makes sure that it is whole. All whole lines that have come are
// written when it returns.
func (x *exportCopy) part(src io.Reader) (err error) {
	from := &arriving{src: src, out: x.out}
	r := evidence.NewExportReader(from)
	if x.isCSV {
		r = evidence.NewCSVReader(from, x.count == 0)
	}
	err = x.lines(r)
	if flushErr := x.out.Flush(); flushErr != nil {
		return fmt.Errorf("the export can't be written: %w", flushErr)
	}
	if !errors.Is(err, io.EOF) {
		return explainExport(err, from.broken, x.count)
	}
	for _, fault := range r.Misfits() {
		return fmt.Errorf("the API's answer was damaged on its way; it is of no use: %w", fault)
	}
	x.checkpoint = r.Trailer().Checkpoint
	return nil
}

// lines copies until the trailer, where it returns io.EOF.
func (x *exportCopy) lines(r *evidence.ExportReader) error {
	if x.isCSV && x.count == 0 {
		header, err := r.Header()
		if err != nil {
			return err
		}
		if x.header == nil { // or it came before, and no event behind it
			x.header = bytes.Clone(header)
			x.write(header)
		}
	}
	for {
		line, err := r.Next()
		if err != nil {
			return err
		}
		x.write(line)
		x.last = append(x.last[:0], line...)
		x.count++
		x.each()
	}
}

// write writes bytes of the whole. The writer keeps its error until it is flushed.
func (x *exportCopy) write(p []byte) {
	x.sum.Write(p) // a hash never fails
	_, _ = x.out.Write(p)
}

// end writes the trailer of the whole.
func (x *exportCopy) end() error {
	t := evidence.Trailer{Count: x.count, Checkpoint: x.checkpoint}
	x.sum.Sum(t.Sum[:0])
	appendTo := t.Append
	if x.isCSV {
		appendTo = t.AppendCSV
	}
	line, err := appendTo(nil)
	if err != nil {
		return err
	}
	_, _ = x.out.Write(line)
	if err := x.out.Flush(); err != nil {
		return fmt.Errorf("the export can't be written: %w", err)
	}
	return nil
}

// rest is what to ask for to go on; ok is false where that can't be said.
func (x *exportCopy) rest(query url.Values) (rest url.Values, ok bool) {
	if x.count == 0 {
		return query, x.size != "" // nothing of it is written, but perhaps the header
	}
	id := x.lastID()
	rest = maps.Clone(query)
	rest.Set("after", id)
	rest.Set("size", x.size)
	return rest, id != "" && x.size != ""
}

// lastID is the id of the last event; "" where the members that were chosen are without it.
func (x *exportCopy) lastID() string {
	if x.isCSV {
		columns, _ := csv.NewReader(bytes.NewReader(x.header)).Read()
		cells, _ := csv.NewReader(bytes.NewReader(x.last)).Read()
		if i := slices.Index(columns, "eventId"); i >= 0 && i < len(cells) {
			return cells[i]
		}
		return ""
	}
	rest, _ := bytes.CutPrefix(x.last, []byte(`{"eventId":"`))
	id, _, found := bytes.Cut(rest, []byte{'"'})
	if len(rest) == len(x.last) || !found {
		return ""
	}
	return string(id)
}

// arriving reads an answer. What was copied of it is written before it waits for more. It remembers what broke it.
type arriving struct {
	src    io.Reader
	out    *bufio.Writer
	broken error // nil at its end
}

// Read fulfils io.Reader.
func (a *arriving) Read(p []byte) (int, error) {
	if err := a.out.Flush(); err != nil {
		return 0, err
	}
	n, err := a.src.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		a.broken = err
	}
	return n, err
}

// explainExport says why an answer was not copied to its end; broken is what broke it, or nil.
func explainExport(err, broken error, events int64) error {
	where := fmt.Sprintf("behind event %d", events)
	if broken != nil {
		return cutOff(where, broken)
	}
	var fault *evidence.Fault
	if errors.As(err, &fault) && fault.Kind == evidence.Incomplete {
		return cutOff(where, nil)
	}
	return fmt.Errorf("the API's answer is no export: %w", err)
}
