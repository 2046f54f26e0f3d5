package ingest

import (
	"context"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// transaction writes values in one Kafka transaction.
func (b *broker) transaction(topic string, end kgo.TransactionEndTry, values ...string) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.TransactionalID(unique("tx")), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range values {
		client.Produce(ctx, &kgo.Record{Topic: topic, Value: []byte(v)}, nil)
	}
	if err := client.Flush(ctx); err != nil {
		b.t.Fatal(err)
	}
	if err := client.EndTransaction(ctx, end); err != nil {
		b.t.Fatal(err)
	}
}

func TestTransactionMarkersAndAbortedRecordsAreAbsent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name string
		last kgo.TransactionEndTry
	}{{"a marker at the end", kgo.TryCommit}, {"aborted records at the end", kgo.TryAbort}} {
		t.Run(c.name, func(t *testing.T) {
			b, st := newBroker(t), newFakeStore(t)
			topic := b.topic(unique("orders"), 1)
			b.transaction(topic, kgo.TryCommit, events(0, 10)...)  // 0..9, marker 10
			b.transaction(topic, kgo.TryAbort, events(10, 15)...)  // 11..15, marker 16
			b.transaction(topic, kgo.TryCommit, events(20, 23)...) // 17..19, marker 20
			b.transaction(topic, c.last, events(30, 32)...)        // 21..22, marker 23
			p := start(t, b, st, []string{topic}, setup{})
			eventually(t, "the end of the log", func() bool { return st.next(topic, 0) == 24 })
			events, absent := 13, int64(4+5)
			if c.last == kgo.TryCommit {
				events += 2
			} else {
				absent += 2
			}
			if n, _ := st.count(); n != events || st.absent(topic, 0) != absent {
				t.Errorf("%d events and %d absent, want %d and %d", n, st.absent(topic, 0), events, absent)
			}
			eventually(t, "no lag", func() bool { return value(t, p.reg, "audittrail_ingest_lag_records", topic) == 0 })
			if got := value(t, p.reg, "audittrail_ingest_records_total", topic, outcomeAbsent); got != float64(absent) {
				t.Errorf("metric counts %v absent, want %d", got, absent)
			}
		})
	}
}

// An open transaction holds readers back; what lies before it is stored all the same.
func TestAnOpenTransactionIsNotRead(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 5)...)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.TransactionalID(unique("tx")))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(ctx, &kgo.Record{Topic: topic, Value: []byte(eventJSON(5))}).FirstErr(); err != nil {
		t.Fatal(err)
	}
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "what is decided", func() bool { return st.next(topic, 0) == 5 })
	if err := client.EndTransaction(ctx, kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the rest", func() bool { return st.next(topic, 0) == 7 })
	if n, _ := st.count(); n != 6 {
		t.Errorf("%d events, want 6", n)
	}
}

func TestOffsetsThatWereCompactedAwayAreAbsent(t *testing.T) {
	t.Parallel()
	b, st := fakeBroker(t), newFakeStore(t)
	topic := unique("orders")
	if err := b.fake.CreateTopic(topic, 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "14", "min.cleanable.dirty.ratio": "0"}); err != nil {
		t.Fatal(err)
	}
	b.write(&kgo.Record{Topic: topic, Key: []byte("first"), Value: []byte(eventJSON(99))})
	for n := range 9 { // all under one key
		b.produce(topic, 0, eventJSON(n))
	}
	b.fake.Compact()
	b.write(&kgo.Record{Topic: topic, Key: []byte("other"), Value: []byte(eventJSON(100))})
	left := b.records(topic)
	if left >= 11 {
		t.Fatalf("the fake broker compacted nothing away (%d records)", left)
	}
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "the end of the log", func() bool { return st.next(topic, 0) == 11 })
	if n, _ := st.count(); n != left || st.absent(topic, 0) != int64(11-left) {
		t.Errorf("%d events and %d absent of 11 offsets, want %d and %d", n, st.absent(topic, 0), left, 11-left)
	}
}

// records counts the records that a partition still holds.
func (b *broker) records(topic string) int {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{topic: {0: kgo.NewOffset().AtStart()}}))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	n := 0
	for {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.t.Fatal(err)
		}
		last := false
		fetches.EachRecord(func(r *kgo.Record) { n++; last = last || string(r.Key) == "other" })
		if last {
			return n
		}
	}
}
