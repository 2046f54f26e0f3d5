package ingest

import (
	"context"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"audittrail/modules/store"
)

// nullStore takes everything at once, so that what is measured is ingest alone.
type nullStore struct {
	*fakeStore
	events atomic.Int64
}

func (s *nullStore) Append(_ context.Context, b store.Batch) (store.Receipt, error) {
	s.events.Add(int64(len(b.Events)))
	return store.Receipt{First: 0, Stored: len(b.Events), DeadLettered: len(b.Rejected)}, nil
}

// benchEvent is an order event of about 520 bytes.
func benchEvent(n int) string {
	return fmt.Sprintf(`{"eventId":"00000000-0000-4000-8000-%012x","eventType":"OrderPlaced","aggregateId":"order-%06d","aggregateType":"Order","timestamp":"2026-03-01T10:%02d:%02d.%06dZ","version":1,"payload":{"customerId":"customer-%05d","currency":"EUR","total":%d.95,"lines":[{"sku":"SKU-%05d","quantity":2,"price":19.90},{"sku":"SKU-%05d","quantity":1,"price":49.00}],"shipping":{"method":"express","city":"Hamburg"}},"metadata":{"correlationId":"corr-%08d","causationId":"cause-%08d","userId":"user-%04d","source":"order-service"}}`,
		n, n%100_000, n/60%60, n%60, n%1_000_000, n%50_000, n%500, n%10_000, n%9_999, n/7, n/3, n%5000)
}

// produceBench writes n events, a multiple of 1000, to the partitions in turn.
func (b *broker) produceBench(topic string, n, partitions int) {
	b.t.Helper()
	values := make([]string, 0, 1000)
	for i := range n {
		if values = append(values, benchEvent(i)); len(values) == cap(values) {
			b.produce(topic, int32(i/1000%partitions), values...)
			values = values[:0]
		}
	}
}

// BenchmarkIngest reports Go's CPU time per event from fetch to append. Against the fake broker that
// includes the broker; against a real one (TEST_KAFKA_LIBS) it is ingest's own.
func BenchmarkIngest(b *testing.B) {
	const events, partitions = 300_000, 6
	br := newBroker(b)
	topic := br.topic(unique("bench"), partitions)
	br.produceBench(topic, events, partitions)
	for b.Loop() {
		st := &nullStore{fakeStore: newFakeStore(b)}
		runtime.GC()
		before, began := cpu(b), time.Now()
		p := start(b, br, st, []string{topic}, setup{options: func(o *Options) { o.Linger = maxLinger }})
		for st.events.Load() < events {
			pass(time.Millisecond)
		}
		used, took := cpu(b)-before, time.Since(began)
		p.stop()
		b.ReportMetric(float64(used.Nanoseconds())/events/1000, "µs-cpu/event")
		b.ReportMetric(events/took.Seconds(), "events/s")
	}
	b.ReportMetric(float64(len(benchEvent(123456))), "bytes/event")
	b.ReportMetric(peakResident(b), "MiB-peak")
}

func cpu(t testing.TB) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func peakResident(t testing.TB) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		t.Fatal(err)
	}
	return float64(u.Maxrss) / 1024
}
