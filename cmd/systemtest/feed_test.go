package systemtest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/twmb/franz-go/pkg/kgo"
)

// feed publishes events with numbers, so that a test knows which must be there.
type feed struct {
	s    *stack
	sent int64 // events that Kafka has acknowledged; to be read when nothing is being sent

	mu   sync.Mutex
	errs []error
}

func newFeed(s *stack) *feed { return &feed{s: s} }

// id of the event with a number, the same in every run.
func id(topic string, n int64) uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceOID, fmt.Appendf(nil, "%s/%d", topic, n))
}

// value is the event with a number: some 400 bytes, an order's.
func value(topic string, n int64) []byte {
	digest := sha256.Sum256(fmt.Appendf(nil, "%d", n))
	text, err := json.Marshal(map[string]any{
		"eventId": id(topic, n), "eventType": "OrderPlaced", "aggregateType": "Order", "aggregateId": aggregate(n),
		"timestamp": time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second), "version": n % 1000,
		"payload":  map[string]any{"number": n, "note": fmt.Sprintf("%x", digest), "lines": []map[string]any{{"sku": fmt.Sprintf("SKU-%d", n%100), "quantity": n % 7}}},
		"metadata": map[string]any{"correlationId": fmt.Sprintf("flow-%d", n/10), "source": "order-service"},
	})
	if err != nil {
		panic(err) // of what stands here nothing can fail
	}
	return text
}

func aggregate(n int64) string { return fmt.Sprintf("order-%d", n%500) }

// send publishes the next count events and waits until Kafka has them.
func (f *feed) send(ctx context.Context, count int64) {
	f.s.t.Helper()
	for range count {
		n := f.sent
		f.sent++
		record := &kgo.Record{Topic: f.s.topic, Key: []byte(aggregate(n)), Value: value(f.s.topic, n)}
		f.s.client.Produce(ctx, record, func(_ *kgo.Record, err error) {
			if err != nil {
				f.mu.Lock()
				defer f.mu.Unlock()
				f.errs = append(f.errs, err)
			}
		})
	}
	// The records must all arrive, also those sent when the load was told to end.
	if err := f.s.client.Flush(context.WithoutCancel(ctx)); err != nil {
		f.s.t.Errorf("publish: %v", err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.errs) > 0 {
		f.s.t.Errorf("publish: %v", f.errs[0])
	}
}

// load publishes portions, one each tick, until the answer is called.
func (f *feed) load(portion int64, every time.Duration) (stop func()) {
	ctx, cancel := context.WithCancel(f.s.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				f.send(context.WithoutCancel(ctx), portion)
			}
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	f.s.t.Cleanup(stop)
	return stop
}

// hold waits on purpose: time that passes is what the test is about.
func hold(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
		t.Fatal(t.Context().Err())
	}
}
