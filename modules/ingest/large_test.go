package ingest

import (
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
)

// packed writes records as one compressed batch to partition 0. Compressed it is small to the broker.
func (b *broker) packed(topic string, codec kgo.CompressionCodec, records ...*kgo.Record) {
	b.t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(1<<30), kgo.MaxBufferedRecords(1<<20),
		kgo.BrokerMaxWriteBytes(1<<30), kgo.ManualFlushing())
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	for _, r := range records {
		r.Topic = topic
		client.Produce(b.t.Context(), r, func(_ *kgo.Record, err error) {
			if err != nil {
				b.t.Errorf("produce: %v", err)
			}
		})
	}
	if err := client.Flush(b.t.Context()); err != nil {
		b.t.Fatal(err)
	}
}

// padded is a valid event of about size bytes.
func padded(n, size int) string {
	e := eventJSON(n)
	return e[:len(e)-1] + `,"note":"` + strings.Repeat("x", size) + `"}`
}

func valued(values ...string) []*kgo.Record {
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{Value: []byte(v)}
	}
	return records
}

func codecs() map[string]kgo.CompressionCodec {
	return map[string]kgo.CompressionCodec{
		"gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(), "lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	}
}

func TestABatchThatUnpacksToMuchIsStored(t *testing.T) {
	t.Parallel()
	for name, codec := range codecs() {
		t.Run(name, func(t *testing.T) {
			b, st := newBroker(t), newFakeStore(t)
			topic := b.topic(unique("orders"), 1)
			b.produce(topic, 0, eventJSON(0))
			var values []string
			for n := range 8 {
				values = append(values, padded(1+n, 900_000))
			}
			huge := strings.Repeat(" ", 9<<20)
			b.packed(topic, codec, valued(append(values, huge, eventJSON(9))...)...)
			b.produce(topic, 0, eventJSON(10))
			start(t, b, st, []string{topic}, setup{})
			eventually(t, "the end", func() bool { return st.next(topic, 0) == 12 })
			if good, bad := st.count(); good != 11 || bad != 1 {
				t.Fatalf("%d events and %d rejected, want 11 and 1", good, bad)
			}
			want := event.Oversize{Length: 9 << 20, SHA256: sha256.Sum256([]byte(huge)), Detail: "the value has 9437184 bytes; at most 1048576 are allowed"}
			if r := st.rejected[0]; r.Reason != event.TooLarge || r.Raw.Oversize == nil || *r.Raw.Oversize != want || len(r.Raw.Value) != event.OversizeKept {
				t.Errorf("rejected as %s, %+v, with %d bytes", r.Reason, r.Raw.Oversize, len(r.Raw.Value))
			}
		})
	}
}

// What a record takes in memory is not only its value.
func TestRecordsWithLongKeysAndManyHeadersAreRejected(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	key := &kgo.Record{Key: make([]byte, 6<<20), Value: []byte(eventJSON(0))}
	headers := &kgo.Record{Value: []byte(eventJSON(1)), Headers: make([]kgo.RecordHeader, 100_000)}
	plain := &kgo.Record{Value: []byte(eventJSON(2)), Headers: []kgo.RecordHeader{{Key: "a", Value: []byte("b")}}}
	b.packed(topic, kgo.ZstdCompression(), key, headers, plain)
	b.packed(topic, kgo.NoCompression(), &kgo.Record{Value: []byte(eventJSON(3)), Headers: make([]kgo.RecordHeader, 100_000)})
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "the end", func() bool { return st.next(topic, 0) == 4 })
	details := map[int64]string{
		0: "the key has 6291456 bytes; at most 1048576 are allowed",
		1: "the headers take 1048640 bytes; at most 1048576 are allowed",
		3: "the headers take 6400000 bytes; at most 1048576 are allowed",
	}
	if good, bad := st.count(); good != 1 || bad != len(details) {
		t.Fatalf("%d events and %d rejected, want 1 and %d", good, bad, len(details))
	}
	for _, r := range st.rejected {
		if r.Reason != event.TooLarge || r.Detail != details[r.Raw.Offset] || len(r.Raw.Key) > event.OversizeKept || r.Raw.Headers != nil {
			t.Errorf("offset %d: %s: %s, with a key of %d bytes and %d headers", r.Raw.Offset, r.Reason, r.Detail, len(r.Raw.Key), len(r.Raw.Headers))
		}
	}
}

// A million records of a few bytes take more than their bytes.
func TestABatchOfManySmallRecordsIsReadInPieces(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	records := make([]*kgo.Record, 60_000)
	for i := range records {
		records[i] = &kgo.Record{}
	}
	b.packed(topic, kgo.ZstdCompression(), records...)
	b.produce(topic, 0, eventJSON(0))
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "the end", func() bool { return st.next(topic, 0) == int64(len(records)+1) })
	if good, bad := st.count(); good != 1 || bad != len(records) {
		t.Errorf("%d events and %d rejected, want 1 and %d", good, bad, len(records))
	}
}

func TestALargeBatchOfAnAbortedTransactionIsPassedBy(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	for n, commit := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.TransactionalID(unique("tx")),
			kgo.ProducerBatchCompression(kgo.ZstdCompression()), kgo.ProducerBatchMaxBytes(64<<20))
		if err != nil {
			t.Fatal(err)
		}
		if err := client.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		var records []*kgo.Record
		for i := range 8 {
			records = append(records, &kgo.Record{Topic: topic, Value: []byte(padded(10*n+i, 900_000))})
		}
		if err := client.ProduceSync(t.Context(), records...).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := client.EndTransaction(t.Context(), commit); err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "the end", func() bool { return st.next(topic, 0) == 18 })
	if good, bad := st.count(); good != 8 || bad != 0 {
		t.Errorf("%d events and %d rejected, want the 8 of the transaction that was committed", good, bad)
	}
}

// Ordinary batches that are highly compressed are read by the client, although they do not all fit at once.
func TestManyCompressedBatchesAreReadWithinTheBound(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	const partitions, batches = 4, 20
	topic := b.topic(unique("orders"), partitions)
	n := 0
	for range batches {
		for p := range int32(partitions) {
			records := valued(padded(n, 900_000), padded(n+1, 900_000), padded(n+2, 900_000))
			for _, r := range records {
				r.Partition = p
			}
			b.packed(topic, kgo.ZstdCompression(), records...)
			n += 3
		}
	}
	start(t, b, st, []string{topic}, setup{})
	eventually(t, fmt.Sprintf("%d events", n), func() bool { good, _ := st.count(); return good == n })
}
