package sample

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// recorder is a Producer that notes what it is given, and stops the run after some records.
type recorder struct {
	records []*kgo.Record
	stop    context.CancelFunc
	after   int
	flushed bool
	refuse  bool
}

func (p *recorder) Produce(ctx context.Context, r *kgo.Record, promise func(*kgo.Record, error)) {
	p.records = append(p.records, r)
	if len(p.records) == p.after {
		p.stop()
	}
	var err error
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	if p.refuse {
		err = errors.New("refused")
	}
	promise(r, err)
}

func (p *recorder) Flush(context.Context) error { p.flushed = true; return nil }

func runTraffic(t *testing.T, p *recorder, start time.Time) *Traffic {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	p.stop = cancel
	traffic := NewTraffic(New(Options{Seed: 9, Start: start, Live: true, Interval: 20 * time.Millisecond}), p)
	if err := traffic.Run(ctx, time.Second); err != nil {
		t.Fatal(err)
	}
	return traffic
}

func TestTrafficPublishesEachRecordAtItsTime(t *testing.T) {
	start := time.Now()
	p := &recorder{after: 30}
	traffic := runTraffic(t, p, start)
	want := New(Options{Seed: 9, Start: start, Live: true, Interval: 20 * time.Millisecond})
	for i, r := range p.records {
		w := want.Next()
		if string(r.Value) != string(w.Value) || r.Topic != w.Topic || string(r.Key) != string(w.Key) || !r.Timestamp.Equal(w.At) {
			t.Fatalf("record %d is not the generator's", i)
		}
	}
	if last := p.records[len(p.records)-1].Timestamp; time.Now().Before(last) {
		t.Fatal("the last record was published before its time")
	}
	if !p.flushed || traffic.Published() != 30 || traffic.Failed() != 0 {
		t.Fatalf("flushed %v, published %d, failed %d", p.flushed, traffic.Published(), traffic.Failed())
	}
}

// What lies in the past is published at once: a thousand records of an hour take no hour.
func TestTrafficCatchesUp(t *testing.T) {
	p := &recorder{after: 1000}
	if traffic := runTraffic(t, p, time.Now().Add(-time.Hour)); traffic.Published() != 1000 {
		t.Fatalf("published %d", traffic.Published())
	}
}

func TestTrafficGoesOnWhereKafkaRefuses(t *testing.T) {
	p := &recorder{after: 50, refuse: true}
	if traffic := runTraffic(t, p, time.Now().Add(-time.Hour)); traffic.Failed() != 50 || traffic.Published() != 0 {
		t.Fatalf("failed %d, published %d", traffic.Failed(), traffic.Published())
	}
}
