package sample

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Producer publishes records; *kgo.Client is one.
type Producer interface {
	Produce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error))
	Flush(ctx context.Context) error
}

// Traffic publishes a Generator's records to Kafka, each when its time has come.
type Traffic struct {
	generator *Generator
	producer  Producer
	limit     int64 // of records; 0 is none
	published atomic.Int64
	failed    atomic.Int64
}

// NewTraffic prepares to publish. A record whose At has passed is published at once, so a Generator
// that starts in the past catches up first.
func NewTraffic(g *Generator, p Producer) *Traffic {
	return &Traffic{generator: g, producer: p}
}

// Run publishes until ctx is cancelled or the limit is reached, then waits for what was handed to the producer, after a
// cancellation up to grace, and returns nil, or the error of that wait. A record that the producer gives up on is
// counted in Failed and the next one is tried, since traffic that stops by itself would look like a fault of what
// reads it.
func (t *Traffic) Run(ctx context.Context, grace time.Duration) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for n := int64(0); ctx.Err() == nil && (t.limit == 0 || n < t.limit); n++ {
		r := t.generator.Next()
		timer.Reset(time.Until(r.At))
		select {
		case <-ctx.Done():
		case <-timer.C:
			t.publish(ctx, r)
		}
	}
	if err := t.producer.Flush(ctx); err == nil || ctx.Err() == nil {
		return err
	}
	flush, cancel := context.WithTimeout(context.WithoutCancel(ctx), grace)
	defer cancel()
	return t.producer.Flush(flush)
}

// publish hands one record over; it blocks while the producer's buffer is full.
func (t *Traffic) publish(ctx context.Context, r Record) {
	record := &kgo.Record{Topic: r.Topic, Key: r.Key, Value: r.Value, Timestamp: r.At}
	// A record that was handed over is to be delivered even when ctx ends: Run waits for it.
	t.producer.Produce(context.WithoutCancel(ctx), record, func(_ *kgo.Record, err error) {
		if err != nil {
			t.failed.Add(1)
			return
		}
		t.published.Add(1)
	})
}

// Published is how many records Kafka has acknowledged so far; Failed, how many were given up.
func (t *Traffic) Published() int64 { return t.published.Load() }

// Failed is how many records the producer gave up on.
func (t *Traffic) Failed() int64 { return t.failed.Load() }
