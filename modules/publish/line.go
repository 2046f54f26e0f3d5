package publish

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/twmb/franz-go/pkg/kgo"
)

// plain unpacks gzip, which it knows by its first two bytes (RFC 1952), and passes on all else.
func plain(in io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(in, 256<<10)
	magic, err := buffered.Peek(2)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read: %w", err)
	}
	if !bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		return buffered, nil
	}
	unpacked, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, fmt.Errorf("unpack gzip: %w", err)
	}
	return unpacked, nil
}

// sendLine hands one line over. It blocks while the producer's buffer is full.
func (p *Publisher) sendLine(ctx context.Context, n int64, line, key []byte) {
	if key != nil {
		p.events.Add(1)
	} else {
		p.others.Add(1)
	}
	p.bytes.Add(int64(len(line)))
	p.producer.Produce(ctx, &kgo.Record{Topic: p.opts.Topic, Key: key, Value: line}, func(_ *kgo.Record, err error) {
		if err != nil {
			p.refuse(n, err)
			return
		}
		p.acknowledged.Add(1)
	})
}

// refuse keeps the first failure; those after it are mostly its echo.
func (p *Publisher) refuse(line int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refused == nil {
		p.refused = fmt.Errorf("line %d was not accepted: %w", line, err)
	}
}

func (p *Publisher) firstRefused() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.refused
}

// keyReader finds the aggregateId of a line. Its zero value is ready, and reused for all lines.
type keyReader struct {
	dec  jsontext.Decoder
	text bytes.Reader
}

// aggregateID is the line's member aggregateId in UTF-8, nil where the line is not one valid JSON
// object that has it as a string: then it is no event.
func (k *keyReader) aggregateID(line []byte) []byte {
	k.text.Reset(line)
	k.dec.Reset(&k.text)
	if t, err := k.dec.ReadToken(); err != nil || t.Kind() != '{' {
		return nil
	}
	var id []byte
	for k.dec.PeekKind() == '"' {
		name, err := k.dec.ReadToken()
		if err != nil {
			return nil
		}
		if name.String() != "aggregateId" {
			if k.dec.SkipValue() != nil {
				return nil
			}
			continue
		}
		value, err := k.dec.ReadToken()
		if err != nil || value.Kind() != '"' || value.String() == "" {
			return nil
		}
		id = []byte(value.String())
	}
	if _, err := k.dec.ReadToken(); err != nil {
		return nil
	}
	if _, err := k.dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil // something follows the object
	}
	return id
}
