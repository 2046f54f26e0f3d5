// Package publish sends a file of events to Kafka: NDJSON, one event a line, plain or gzip, keyed by
// the event's aggregateId, so that an aggregate's events stay in order.
//
// It judges no event: a line that is none is sent as it is, without a key, so that what ingest does
// with it can be seen.
package publish

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer sends records; *kgo.Client is one. It bounds the memory: Produce blocks while its buffer is
// full.
type Producer interface {
	Produce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error))
	Flush(ctx context.Context) error
}

// Options say what to send where.
type Options struct {
	Topic    string
	MaxBytes int           // of a line; a longer one ends the run with an error that names it
	Grace    time.Duration // how long to wait for what was sent when the context ends
}

// Progress is how far a run has come, or its outcome.
type Progress struct {
	Lines        int64 `json:"lines"`        // read, blank ones included
	Blank        int64 `json:"blank"`        // skipped: they are nobody's event
	Events       int64 `json:"events"`       // sent with their aggregateId as key
	Others       int64 `json:"others"`       // sent without a key, since they have no aggregateId
	Bytes        int64 `json:"bytes"`        // of the lines that were sent
	Acknowledged int64 `json:"acknowledged"` // of events and others: Kafka has them for good
}

// Publisher sends one stream of lines.
type Publisher struct {
	producer Producer
	opts     Options

	lines, blank, events, others, bytes, acknowledged atomic.Int64

	mu      sync.Mutex
	refused error // the first record that Kafka refused
}

// New makes a Publisher for one Run.
func New(producer Producer, opts Options) *Publisher {
	return &Publisher{producer: producer, opts: opts}
}

// Progress may be called at any time, from any goroutine.
func (p *Publisher) Progress() Progress {
	return Progress{
		Lines: p.lines.Load(), Blank: p.blank.Load(), Events: p.events.Load(), Others: p.others.Load(),
		Bytes: p.bytes.Load(), Acknowledged: p.acknowledged.Load(),
	}
}

// Run sends all lines of in and waits until Kafka has acknowledged them. When it returns an error, be it
// that ctx ended, what was sent before has been waited for too, and Progress tells what is certain:
// Acknowledged. Lines are sent in order, so a run that stopped can go on after line Lines.
func (p *Publisher) Run(ctx context.Context, in io.Reader) error {
	// What was handed over is to arrive even when ctx ends: it gets the grace period.
	sending, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() {
		select {
		case <-time.After(p.opts.Grace):
			cancel()
		case <-sending.Done():
		}
	})()
	err := p.send(ctx, sending, in)
	flushErr := p.producer.Flush(sending)
	if refused := p.firstRefused(); refused != nil {
		return refused
	}
	if err == nil {
		err = ctx.Err() // it ended while the last records were waited for
	}
	if err == nil && flushErr != nil {
		err = fmt.Errorf("wait for acknowledgements: %w", flushErr)
	}
	return err
}

// send hands all lines to the producer.
func (p *Publisher) send(ctx, sending context.Context, in io.Reader) error {
	text, err := plain(in)
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(text)
	lines.Buffer(make([]byte, 0, 64<<10), p.opts.MaxBytes+2) // with room for CR LF
	var keys keyReader
	for lines.Scan() {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := p.firstRefused(); err != nil {
			return err
		}
		n := p.lines.Add(1)
		line := bytes.TrimSuffix(lines.Bytes(), []byte("\r"))
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			p.blank.Add(1)
			continue
		case len(line) > p.opts.MaxBytes:
			return p.tooLong(n)
		}
		p.sendLine(sending, n, bytes.Clone(line), keys.aggregateID(line))
	}
	switch err := lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return p.tooLong(p.lines.Add(1))
	case err != nil:
		return fmt.Errorf("read after line %d: %w", p.lines.Load(), err)
	}
	return nil
}

func (p *Publisher) tooLong(line int64) error {
	return fmt.Errorf("line %d is longer than the %d bytes that the topic takes (its max.message.bytes)", line, p.opts.MaxBytes)
}
