package ingest

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/kafka"
	"audittrail/platform/kafkatest"
)

// rawBatch writes a batch whose records are given as bytes. Only a fake broker takes what is malformed.
func (b *broker) rawBatch(topic string, codec int16, records int32, content []byte) {
	b.t.Helper()
	batch := kmsg.RecordBatch{
		Magic: 2, PartitionLeaderEpoch: -1, Attributes: codec, LastOffsetDelta: records - 1, NumRecords: records,
		ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1, Records: content,
	}
	raw := batch.AppendTo(nil)
	batch.Length = int32(len(raw) - 12)
	batch.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	topics, err := kafka.Topics(b.t.Context(), b.client, []string{topic})
	if err != nil {
		b.t.Fatal(err)
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch.AppendTo(nil)
	t := kmsg.NewProduceRequestTopic()
	t.Topic, t.TopicID, t.Partitions = topic, topics[topic].ID, append(t.Partitions, p)
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis, req.Topics = -1, 10_000, append(req.Topics, t)
	resp, err := req.RequestWith(b.t.Context(), b.client)
	if err != nil {
		b.t.Fatal(err)
	}
	if err := kerr.ErrorForCode(resp.Topics[0].Partitions[0].ErrorCode); err != nil {
		b.t.Fatal(err)
	}
}

// rawRecord is a record of a batch, as it is stored.
func rawRecord(delta int64, value string) []byte {
	r := binary.AppendVarint([]byte{0, 0}, delta)
	r = append(r, 1) // no key
	r = append(binary.AppendVarint(r, int64(len(value))), value...)
	r = append(r, 0) // no headers
	return append(binary.AppendVarint(nil, int64(len(r))), r...)
}

// A batch with a record that can't be read stops its partition with the command that passes it.
func TestAMalformedRecordStopsItsPartitionWithTheCommandThatPassesIt(t *testing.T) {
	t.Parallel()
	z, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	content := append(rawRecord(0, eventJSON(1)), 40, 0, 0, 2, 1, 126) // its value goes on beyond its end
	for name, batch := range map[string]struct {
		codec   int16
		content []byte
		stored  int // events before the damage
	}{"packed": {4, z.EncodeAll(content, nil), 2}, "no records": {0, nil, 1}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, st := fakeBroker(t), newFakeStore(t)
			topic := b.topic(unique("orders"), 1)
			b.produce(topic, 0, eventJSON(0))
			b.rawBatch(topic, batch.codec, 3, batch.content)
			b.produce(topic, 0, eventJSON(4))
			p := start(t, b, st, []string{topic}, setup{})
			p.stopsFor(topic, 0, fmt.Sprintf("'audittrail topics admit %s --partition 0 --from 4 --reason", topic))
			if n, _ := st.count(); n != batch.stored {
				t.Errorf("%d events before the damage, want %d", n, batch.stored)
			}
			st.admit(topic, 0, 4)
			eventually(t, "the end", func() bool { return st.next(topic, 0) == 5 })
			p.recovers(topic)
		})
	}
}

// A broker's disk changes a byte of a batch that it has taken in order. What lies before the damage is stored, and
// the batch's own records are passed by with a command.
func TestADamagedBatchStopsItsPartition(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Start(t)
	b, st := connect(t, kafka.Brokers), newRealStore(t, migratetest.Database(t))
	topic := b.topic(unique("orders"), 1)
	for from := 0; from < 30; from += 10 {
		b.produce(topic, 0, padded(from, 900), padded(from+1, 900))
	}
	kafka.Damage(topic, "order-10")
	p := start(t, b, st, []string{topic}, st.setup())
	p.stopsFor(topic, 0, "offset 2 can't be read: the batch can't be unpacked: its checksum is wrong; to go on behind the batch, run 'audittrail topics admit "+topic+" --partition 0 --from 4")
	if n := st.events(); n != 2 {
		t.Errorf("%d events before the damage, want 2", n)
	}
	st.admit(topic, 4)
	eventually(t, "the events behind the damage", func() bool { return st.events() == 4 })
	p.recovers(topic)
	p.stop()
	st.balanced()
}
