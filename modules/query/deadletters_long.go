package query

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"iter"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/httpserver"
)

// longDeadLetter streams a dead letter of which a part is long. It takes a slot of the exports, since a
// slice of what is long is held while its reader is slow.
func (h *Handlers) longDeadLetter(ctx context.Context, d *store.DeadLetter) httpapi.LongDeadLetter {
	return httpapi.LongDeadLetter{Write: func(start func() (httpapi.ExportStream, error)) error {
		giveBack, err := h.exports.Take(httpserver.ExchangeOf(ctx).Principal)
		if err != nil {
			return err
		}
		defer giveBack()
		w := letterWriter{out: bufio.NewWriterSize(&lateStream{start: start}, exportBuffer)}
		if err := w.letter(ctx, h.reader, d); err != nil {
			return err
		}
		return w.out.Flush()
	}}
}

// letterWriter writes a dead letter's JSON. Its methods do nothing after an error.
type letterWriter struct {
	out *bufio.Writer
	err error
}

// Where the long parts go in the JSON of a dead letter without them. No text in it looks so, since JSON
// escapes each quote of a text.
const (
	noBytes   = `"key":null,"value":null,`
	noHeaders = `"headers":[],`
)

// letter writes the dead letter with the parts that it was read without.
func (w *letterWriter) letter(ctx context.Context, reader deadLetterReader, d *store.DeadLetter) error {
	short := *d
	short.Raw.Key, short.Raw.Value, short.Raw.Headers, short.Omitted = nil, nil, nil, store.Omitted{}
	document, err := json.Marshal(deadLetter(&short))
	if err != nil {
		return err
	}
	head, rest, ok := bytes.Cut(document, []byte(noBytes))
	middle, tail, also := bytes.Cut(rest, []byte(noHeaders))
	if !ok || !also {
		return errors.New("a dead letter's JSON is not as it was")
	}
	w.write(head)
	w.text(`"key":`)
	w.part(d.Omitted.Key, d.Raw.Key, reader.ReadKey(ctx, d.ID))
	w.text(`,"value":`)
	w.part(d.Omitted.Value, d.Raw.Value, reader.ReadValue(ctx, d.ID))
	w.text(",")
	w.write(middle)
	w.text(`"headers":[`)
	if d.Omitted.Headers {
		w.headers(reader.ReadHeaders(ctx, d.ID))
	} else {
		for i, h := range d.Raw.Headers {
			w.header(i > 0, store.LongHeader{Key: h.Key, Value: h.Value})
		}
	}
	w.text("],")
	w.write(tail)
	return w.err
}

func (w *letterWriter) write(b []byte) {
	if w.err == nil {
		_, w.err = w.out.Write(b)
	}
}

func (w *letterWriter) text(s string) { w.write([]byte(s)) }

// part writes bytes in base64, or null: all at once, or slice by slice where they are long.
func (w *letterWriter) part(long bool, whole []byte, slices iter.Seq2[[]byte, error]) {
	if !long {
		if whole == nil {
			w.text("null")
			return
		}
		slices = func(yield func([]byte, error) bool) { yield(whole, nil) }
	}
	w.text(`"`)
	encoder := base64.NewEncoder(base64.StdEncoding, writerFunc(func(b []byte) (int, error) {
		w.write(b)
		return len(b), w.err
	}))
	for slice, err := range slices {
		if w.err == nil {
			w.err = err
		}
		if w.err != nil {
			return
		}
		_, _ = encoder.Write(slice) // w.err has it
	}
	_ = encoder.Close()
	w.text(`"`)
}

func (w *letterWriter) headers(all iter.Seq2[store.LongHeader, error]) {
	more := false
	for h, err := range all {
		if w.err == nil {
			w.err = err
		}
		if w.err != nil {
			return
		}
		w.header(more, h)
		more = true
	}
}

// header writes one header, in the form of deadLetterHeader.
func (w *letterWriter) header(more bool, h store.LongHeader) {
	document, err := json.Marshal(deadLetterHeader(event.Header{Key: h.Key}))
	if err != nil {
		w.err = errors.Join(w.err, err)
		return
	}
	if more {
		w.text(",")
	}
	w.write(bytes.TrimSuffix(document, []byte("null}"))) // the value is its last member
	w.part(h.Rest != nil, h.Value, h.Rest)
	w.text("}")
}

type writerFunc func([]byte) (int, error)

var _ io.Writer = writerFunc(nil)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }
