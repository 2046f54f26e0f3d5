package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/modules/protect"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

func TestBatchesAreBoundedByCountAndBytes(t *testing.T) {
	t.Parallel()
	size := int64(len(eventJSON(1000)) + 1)
	for _, c := range []struct {
		name    string
		options func(*Options)
		most    int
	}{
		{"count", func(o *Options) { o.MaxBatchEvents = 700 }, 700},
		{"bytes", func(o *Options) { o.MaxBatchBytes = 600 * size }, 600},
		{"a chunk more than half of a batch", func(o *Options) { o.MaxBatchEvents = 501 }, 501},
		{"smaller than a chunk", func(o *Options) { o.MaxBatchEvents = 7 }, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, st := newBroker(t), newFakeStore(t)
			topic := b.topic(unique("orders"), 2)
			for partition := range int32(2) {
				b.produce(topic, partition, events(1000+int(partition)*2000, 3000+int(partition)*2000)...)
			}
			p := start(t, b, st, []string{topic}, setup{options: c.options})
			eventually(t, "4000 events", func() bool { n, _ := st.count(); return n == 4000 })
			p.stop()
			largest := 0
			for _, n := range st.batches {
				largest = max(largest, n)
			}
			if largest > c.most || largest < c.most/3 {
				t.Errorf("the largest batch has %d events, at most %d and not far less", largest, c.most)
			}
		})
	}
}

// A record that comes alone does not wait; while batches follow each other, the next one does.
func TestLingerHoldsNoLoneRecord(t *testing.T) {
	t.Parallel()
	now := time.Now()
	w := &worker{options: Options{Linger: maxLinger}, now: func() time.Time { return now }}
	if d := w.delay(); d != gather {
		t.Errorf("the first batch waits %v", d)
	}
	w.lastStart = now.Add(-maxLinger)
	if d := w.delay(); d != gather {
		t.Errorf("a batch after an idle time waits %v", d)
	}
	w.lastStart = now.Add(-maxLinger / 4)
	if d := w.delay(); d != maxLinger-maxLinger/4 {
		t.Errorf("a batch soon after another waits %v", d)
	}
}

// A trickle makes no more batches than the time holds lingers.
func TestLingerBoundsTheNumberOfBatches(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	const linger = 200 * time.Millisecond
	began := time.Now()
	p := start(t, b, st, []string{topic}, setup{options: func(o *Options) { o.Linger = linger }})
	for n := range 60 {
		b.produce(topic, 0, eventJSON(n))
		pass(10 * time.Millisecond)
	}
	eventually(t, "all", func() bool { n, _ := st.count(); return n == 60 })
	p.stop()
	most := int(time.Since(began)/linger) + 2 // the first begins at once, and the last ends with the role
	if len(st.batches) > most {
		t.Errorf("%d batches in %v, at most %d", len(st.batches), time.Since(began), most)
	}
}

func TestAPartitionIsAlwaysWithOneWorker(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t) // the store checks it
	topic := b.topic(unique("orders"), 7)
	st.hook = func(ctx context.Context, _ store.Batch) error { sleep(ctx, time.Millisecond); return nil }
	for partition := range int32(7) {
		b.produce(topic, partition, events(int(partition)*500, int(partition)*500+500)...)
	}
	p := start(t, b, st, []string{topic}, setup{options: func(o *Options) { o.Workers = 3; o.MaxBatchEvents = 50 }})
	eventually(t, "3500 events", func() bool { n, _ := st.count(); return n == 3500 })
	p.stop()
}

func TestWorkersShareThePartitions(t *testing.T) {
	t.Parallel()
	s := newLeases(3)
	load := make([]int, 3)
	for n := range int32(9) {
		load[s.grant(store.Partition{Topic: "orders", Number: n}, store.Position{LeaderEpoch: -1}).worker]++
	}
	for w, n := range load {
		if n != 3 {
			t.Errorf("worker %d has %d partitions of 9", w, n)
		}
	}
}

// While an append of an earlier lease flies, its partition stays with the same worker.
func TestANewLeaseStaysWithTheWorkerWhoseAppendIsInFlight(t *testing.T) {
	t.Parallel()
	s := newLeases(2)
	s.grant(store.Partition{Topic: "orders", Number: 0}, store.Position{LeaderEpoch: -1})
	l := s.grant(store.Partition{Topic: "orders", Number: 1}, store.Position{LeaderEpoch: -1})
	flight, standing := s.takeOff(l.worker, []*chunk{{lease: l}})
	if len(standing) != 1 {
		t.Fatal("a standing lease was left out")
	}
	if flying := s.end([]kafka.TopicPartition{l.at()}); len(flying) != 1 {
		t.Errorf("%d appends in flight, want 1", len(flying))
	}
	s.grant(store.Partition{Topic: "orders", Number: 2}, store.Position{LeaderEpoch: -1})
	s.grant(store.Partition{Topic: "orders", Number: 3}, store.Position{LeaderEpoch: -1})
	if again := s.grant(l.id, store.Position{LeaderEpoch: -1}); again.worker != l.worker {
		t.Errorf("moved from worker %d to %d", l.worker, again.worker)
	}
	s.land(flight)
	if _, standing := s.takeOff(l.worker, []*chunk{{lease: l}}); len(standing) != 0 {
		t.Error("a lease that has ended took off")
	}
}

func TestChunksFollowEachOtherWithoutGaps(t *testing.T) {
	t.Parallel()
	l := &lease{id: store.Partition{Topic: "orders"}, next: 10}
	var records []*kgo.Record
	for offset := int64(13); offset < 2013; offset++ {
		if offset%10 == 0 {
			continue // compacted away
		}
		records = append(records, &kgo.Record{Offset: offset, Value: []byte(eventJSON(int(offset))), LeaderEpoch: 4})
	}
	chunks := cut(l, records, testOptions())
	var all batch
	for _, c := range chunks {
		if len(c.records) > chunkRecords {
			t.Errorf("chunk of %d records", len(c.records))
		}
		if err := c.decode(t.Context(), event.DefaultRules(), time.Now(), protect.NewProtector()); err != nil {
			t.Fatal(err)
		}
		all.add(c)
	}
	b, err := all.build(all.chunks)
	if err != nil {
		t.Fatal(err)
	}
	want := store.Range{Partition: l.id, From: 10, To: 2013, Absent: 3 + 200, LeaderEpoch: 4}
	if len(b.Ranges) != 1 || b.Ranges[0] != want || l.next != 2013 || len(b.Events) != 1800 {
		t.Errorf("ranges %+v, %d events, next %d; want %+v", b.Ranges, len(b.Events), l.next, want)
	}
}
