package kafka

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Batch is a record batch as it is stored (https://kafka.apache.org/documentation/#recordbatch). Its
// records are read one after the other, so that it takes little memory whatever it unpacks to.
type Batch struct {
	First       int64 // offset
	Next        int64 // offset after the batch
	LeaderEpoch int32
	Control     bool // its records are transaction markers
	Aborted     bool // its transaction was aborted: a reader of committed records passes it by

	since   int64 // Unix milliseconds that the records' timestamps count from
	records int32
	codec   kgo.CompressionCodecType
	packed  []byte
}

// FetchBatch asks the partition's leader for the batch that holds the offset, or the next one after it. Beside
// ErrUnpackable it may return the batch too, of which only the offsets mean anything then.
func FetchBatch(ctx context.Context, client *kgo.Client, topicID [16]byte, at TopicPartition, offset int64) (*Batch, error) {
	leader, err := leaderOf(ctx, client, at)
	if err != nil {
		return nil, err
	}
	resp, err := client.Broker(int(leader)).Request(ctx, fetchRequest(topicID, at, offset))
	if err != nil {
		return nil, fmt.Errorf("fetch offset %d: %w", offset, err)
	}
	fetched, ok := resp.(*kmsg.FetchResponse)
	if !ok {
		return nil, fmt.Errorf("fetch offset %d: the broker answered something else", offset)
	}
	if err := kerr.ErrorForCode(fetched.ErrorCode); err != nil {
		return nil, fmt.Errorf("fetch offset %d: %w", offset, err)
	}
	for _, t := range fetched.Topics {
		for i := range t.Partitions {
			if p := &t.Partitions[i]; p.Partition == at.Partition {
				if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
					return nil, fmt.Errorf("fetch offset %d: %w", offset, err)
				}
				return firstBatch(p, offset)
			}
		}
	}
	return nil, fmt.Errorf("fetch offset %d: the broker did not answer", offset)
}

func leaderOf(ctx context.Context, client *kgo.Client, at TopicPartition) (int32, error) {
	req := kmsg.NewPtrMetadataRequest()
	t := kmsg.NewMetadataRequestTopic()
	t.Topic = kmsg.StringPtr(at.Topic)
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return 0, fmt.Errorf("ask for the partition's leader: %w", err)
	}
	for _, t := range resp.Topics {
		for _, p := range t.Partitions {
			if t.Topic != nil && *t.Topic == at.Topic && p.Partition == at.Partition {
				return p.Leader, kerr.ErrorForCode(p.ErrorCode)
			}
		}
	}
	return 0, fmt.Errorf("ask for the partition's leader: %w", kerr.UnknownTopicOrPartition)
}

// fetchRequest asks for one batch: a broker answers with the first one whole, however small the bound.
func fetchRequest(topicID [16]byte, at TopicPartition, offset int64) *kmsg.FetchRequest {
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition = at.Partition
	p.FetchOffset = offset
	p.PartitionMaxBytes = 1
	t := kmsg.NewFetchRequestTopic()
	t.Topic, t.TopicID = at.Topic, topicID
	t.Partitions = append(t.Partitions, p)
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis = 500
	req.MinBytes = 1
	req.IsolationLevel = 1 // read committed, which also tells of aborted transactions
	req.Topics = append(req.Topics, t)
	return req
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

const (
	crcEnd         = 21 // of a batch, the first byte that its checksum covers
	controlBatch   = 1 << 5
	transactional  = 1 << 4
	codecMask      = 1<<3 - 1
	currentMagic   = 2
	batchHeadBytes = 61
)

func firstBatch(p *kmsg.FetchResponseTopicPartition, offset int64) (*Batch, error) {
	in := p.RecordBatches
	if len(in) < batchHeadBytes {
		return nil, fmt.Errorf("fetch offset %d: the broker sent no batch", offset)
	}
	if in[16] != currentMagic {
		return nil, fmt.Errorf("%w: its format is that of Kafka before 0.11", ErrUnpackable)
	}
	size := 12 + int64(int32(binary.BigEndian.Uint32(in[8:])))
	if size < batchHeadBytes || size > int64(len(in)) {
		return nil, fmt.Errorf("%w: it is cut off", ErrUnpackable)
	}
	in = in[:size]
	var b kmsg.RecordBatch
	if err := b.ReadFrom(in); err != nil {
		return nil, fmt.Errorf("%w: its head is malformed", ErrUnpackable)
	}
	batch := &Batch{
		First: b.FirstOffset, Next: b.FirstOffset + int64(b.LastOffsetDelta) + 1, LeaderEpoch: b.PartitionLeaderEpoch,
		Control: b.Attributes&controlBatch != 0,
		since:   b.FirstTimestamp, records: b.NumRecords, codec: kgo.CompressionCodecType(b.Attributes & codecMask), packed: b.Records,
	}
	if crc := crc32.Checksum(in[crcEnd:], castagnoli); crc != uint32(b.CRC) {
		return batch, fmt.Errorf("%w: its checksum is wrong", ErrUnpackable)
	}
	if b.Attributes&transactional != 0 && !batch.Control {
		for _, t := range p.AbortedTransactions {
			// The answer begins with this batch, so a transaction that it names and that began before
			// the batch's end can't have ended before the batch.
			batch.Aborted = batch.Aborted || t.ProducerID == b.ProducerID && t.FirstOffset <= b.FirstOffset
		}
	}
	return batch, nil
}

// Timestamp is that of the batch's first record, which is the producer's or the broker's clock as the topic has it.
func (b *Batch) Timestamp() time.Time { return time.UnixMilli(b.since) }

// Each calls do for each record from an offset on, in order. It fails with do's error, or with
// ErrUnpackable where the batch is not what it says.
func (b *Batch) Each(from int64, limits RecordLimits, do func(Record) error) error {
	stream, closeStream, err := unpackStream(b.packed, b.codec)
	if err != nil {
		return err
	}
	defer closeStream()
	r := recordReader{in: bufio.NewReaderSize(stream, 64<<10), limits: limits, since: b.since}
	for n := range b.records {
		record, err := r.next(b.First, from)
		if err == nil && record.Offset >= b.Next {
			err = errRecord
		}
		if err != nil { // a library's words are left out: they may quote a value
			return fmt.Errorf("%w: record %d of %d", ErrUnpackable, n+1, b.records)
		}
		if record.Offset < from {
			continue
		}
		if err := do(record); err != nil {
			return err
		}
	}
	return nil
}
