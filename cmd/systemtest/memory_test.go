package systemtest

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/platform/kafka"
	"audittrail/platform/longtest"
)

// Memory of `serve --roles ingest` stays below 150 MiB and ingest.max_record_bytes, whatever the topic's
// batches unpack to; good events are stored, and the rest is accounted for.
func TestMemoryIsBoundedWhateverABatchUnpacksTo(t *testing.T) {
	s := newStack(t)
	f := newFeed(s)
	f.send(t.Context(), 3000)
	s.producePacked(0, []packedValue{blank(125_000_000)})
	s.producePacked(1, paddedEvents(s.topic, 300, 900_000))
	s.producePacked(2, blankList(100, 1_000_000))
	s.producePacked(3, []packedValue{blank(0), blank(longtest.Choose[int64](t, 300_000_000, 1_000_000_000))})
	f.send(t.Context(), 3000)

	p := s.ingest("ingest")
	limitMemory(t, p, 192<<20)
	s.caughtUp(3*time.Minute, p)
	peak := p.peakMemory()
	t.Logf("peak memory %d MiB", peak>>20)
	if most := int64(151 << 20); peak > most {
		t.Errorf("peak memory is %d MiB, at most %d", peak>>20, most>>20)
	}
	if got := one[int64](s, `SELECT count(*) FROM events`); got != 6300 {
		t.Errorf("%d events, want 6300", got)
	}
	const letters = `SELECT string_agg(reason || ' ' || n, ', ' ORDER BY reason) FROM
		(SELECT reason, count(*) AS n FROM dead_letters GROUP BY reason) AS d`
	if got := one[string](s, letters); got != "empty_value 1, malformed_json 100, too_large 2" {
		t.Errorf("dead letters: %s", got)
	}
	p.stop()
	s.balanced()
}

// limitMemory puts the process into a memory cgroup of its own, where this process may make one.
func limitMemory(t *testing.T, p *program, limit int64) {
	t.Helper()
	group := filepath.Join("/sys/fs/cgroup/memory", "audittrail-"+strconv.Itoa(p.cmd.Process.Pid))
	if err := os.Mkdir(group, 0o755); err != nil {
		t.Logf("no memory cgroup (v1) here: %v; the peak is measured all the same", err)
		return
	}
	t.Cleanup(func() {
		p.kill()
		_ = os.Remove(group)
	})
	for file, value := range map[string]int64{"memory.limit_in_bytes": limit, "cgroup.procs": int64(p.cmd.Process.Pid)} {
		if err := os.WriteFile(filepath.Join(group, file), []byte(strconv.FormatInt(value, 10)), 0); err != nil {
			t.Fatal(err)
		}
	}
}

// packedValue writes the value of a record.
type packedValue struct {
	size  int64
	write func(w io.Writer) error
}

func blank(size int64) packedValue {
	return packedValue{size, func(w io.Writer) error {
		_, err := io.CopyN(w, blanks{}, size)
		return err
	}}
}

type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

func blankList(n int, size int64) (values []packedValue) {
	for range n {
		values = append(values, blank(size))
	}
	return values
}

// paddedEvents are valid events, each with as many blanks before its end.
func paddedEvents(topic string, n, size int64) (values []packedValue) {
	const beyondTheFeed = 1_000_000
	for i := range n {
		event := value(topic, beyondTheFeed+i)
		values = append(values, packedValue{int64(len(event)) + size, func(w io.Writer) error {
			if _, err := w.Write(event[:len(event)-1]); err != nil {
				return err
			}
			if _, err := io.CopyN(w, blanks{}, size); err != nil {
				return err
			}
			_, err := w.Write(event[len(event)-1:])
			return err
		}})
	}
	return values
}

// producePacked writes the values as one batch, packed by zstd as a stream: a producer would hold it all.
func (s *stack) producePacked(partition int32, values []packedValue) {
	s.t.Helper()
	var packed bytes.Buffer
	z, err := zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1))
	if err != nil {
		s.t.Fatal(err)
	}
	for n, v := range values {
		var head []byte
		head = append(head, 0, 0) // attributes, timestamp delta
		head = binary.AppendVarint(head, int64(n))
		head = binary.AppendVarint(head, -1) // no key
		head = binary.AppendVarint(head, v.size)
		length := binary.AppendVarint(nil, int64(len(head))+v.size+1)
		if _, err := z.Write(append(length, head...)); err != nil {
			s.t.Fatal(err)
		}
		if err := v.write(z); err != nil {
			s.t.Fatal(err)
		}
		if _, err := z.Write([]byte{0}); err != nil { // no headers
			s.t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		s.t.Fatal(err)
	}
	s.produceBatch(partition, int32(len(values)), packed.Bytes())
}

// produceBatch writes a batch that is packed already.
func (s *stack) produceBatch(partition, records int32, packed []byte) {
	s.t.Helper()
	const zstdCodec = 4
	b := kmsg.RecordBatch{
		Magic: 2, PartitionLeaderEpoch: -1, Attributes: zstdCodec, LastOffsetDelta: records - 1, NumRecords: records,
		FirstTimestamp: time.Now().UnixMilli(), MaxTimestamp: time.Now().UnixMilli(), ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		Records: packed,
	}
	raw := b.AppendTo(nil)
	b.Length = int32(len(raw) - 12)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition = partition
	p.Records = b.AppendTo(nil)
	topics, err := kafka.Topics(s.t.Context(), s.client, []string{s.topic})
	if err != nil {
		s.t.Fatal(err)
	}
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.TopicID = s.topic, topics[s.topic].ID
	topic.Partitions = append(topic.Partitions, p)
	request := kmsg.NewPtrProduceRequest()
	request.Acks, request.TimeoutMillis = -1, 60_000
	request.Topics = append(request.Topics, topic)
	response, err := request.RequestWith(s.t.Context(), s.client)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, t := range response.Topics {
		for _, p := range t.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				s.t.Fatalf("produce a batch of %d records: %v", records, err)
			}
		}
	}
}
