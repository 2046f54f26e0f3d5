package kafka

import (
	"bufio"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"hash"
	"io"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

var errRecord = errors.New("it is malformed")

// recordReader reads records of format 2 (https://kafka.apache.org/documentation/#record) from a stream.
// It never holds more of a part than RecordLimits.Part.
type recordReader struct {
	in     *bufio.Reader
	limits RecordLimits
	since  int64 // Unix milliseconds that the records' timestamps count from
	left   int64 // bytes of the record that were not read yet
}

// next returns the next record of a batch whose first offset is base. Of a record below the offset from
// it returns the offset only. It fails at the end of the stream with io.ErrUnexpectedEOF.
func (r *recordReader) next(base, from int64) (Record, error) {
	r.left = 1 << 32 // until the length is known
	length, err := r.varint()
	if err != nil {
		return Record{}, err
	}
	r.left = length
	if _, err := r.ReadByte(); err != nil { // attributes, of which Kafka has none yet
		return Record{}, err
	}
	later, err := r.varint()
	if err != nil {
		return Record{}, err
	}
	delta, err := r.varint()
	if err != nil {
		return Record{}, err
	}
	out := Record{Offset: base + delta, Time: time.UnixMilli(r.since + later).UTC()}
	if delta < 0 {
		return Record{}, errRecord
	}
	if out.Offset < from {
		return out, r.skip(r.left)
	}
	if err := r.parts(&out); err != nil {
		return Record{}, err
	}
	if r.left != 0 {
		return Record{}, errRecord
	}
	return out, nil
}

// parts reads key, value and headers. Once one is too long, only beginnings are kept of the others.
func (r *recordReader) parts(out *Record) error {
	key, keyLength, err := r.part(nil)
	if err != nil {
		return err
	}
	sum := sha256.New()
	value, valueLength, err := r.part(sum)
	if err != nil {
		return err
	}
	headersLength := r.left
	headers, headersSize, err := r.headers()
	if err != nil {
		return err
	}
	limit := int64(r.limits.Part)
	switch {
	case valueLength > limit:
		out.Oversize = &Oversize{Part: partValue, Size: valueLength}
	case keyLength > limit:
		out.Oversize = &Oversize{Part: partKey, Size: keyLength}
	case headersSize > limit:
		out.Oversize = &Oversize{Part: partHeaders, Size: max(headersSize, headersLength)}
	default:
		out.Key, out.Value, out.Headers = key, value, headers
		return nil
	}
	if valueLength <= limit {
		sum.Write(value)
	}
	out.Oversize.Limit, out.Oversize.ValueLength = limit, max(valueLength, 0)
	sum.Sum(out.Oversize.ValueSHA256[:0])
	out.Key, out.Value = r.limits.cut(key), r.limits.cut(value)
	return nil
}

// part reads a length and as many bytes, and returns the length, -1 for null. Of a part that is too long
// only the beginning is returned; all of it is written to sum, if there is one.
func (r *recordReader) part(sum hash.Hash) ([]byte, int64, error) {
	length, err := r.varint()
	switch {
	case err != nil:
		return nil, 0, err
	case length == -1:
		return nil, -1, nil
	case length < 0 || length > r.left:
		return nil, 0, errRecord
	case length <= int64(r.limits.Part):
		b, err := r.read(length)
		return b, length, err
	}
	b, err := r.read(min(length, int64(r.limits.Kept)))
	if err != nil {
		return nil, 0, err
	}
	rest := length - int64(len(b))
	if sum == nil {
		return b, length, r.skip(rest)
	}
	sum.Write(b)
	n, err := io.CopyN(sum, r.in, rest)
	r.left -= n
	return b, length, unexpected(err)
}

// headers reads the headers, and returns their size as RecordLimits count it. It stops keeping them, and
// counting, where they become too long.
func (r *recordReader) headers() (headers []kgo.RecordHeader, size int64, err error) {
	count, err := r.varint()
	if err != nil {
		return nil, 0, err
	}
	if count < 0 || count > r.left {
		return nil, 0, errRecord
	}
	for range count {
		key, keyLength, err := r.part(nil)
		if err != nil {
			return nil, 0, err
		}
		value, valueLength, err := r.part(nil)
		if err != nil {
			return nil, 0, err
		}
		size += headerCost + max(keyLength, 0) + max(valueLength, 0)
		if size > int64(r.limits.Part) {
			return nil, size, r.skip(r.left)
		}
		headers = append(headers, kgo.RecordHeader{Key: string(key), Value: value})
	}
	return headers, size, nil
}

func (r *recordReader) read(n int64) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(r.in, b)
	r.left -= n
	return b, unexpected(err)
}

func (r *recordReader) skip(n int64) error {
	skipped, err := io.CopyN(io.Discard, r.in, n)
	r.left -= skipped
	return unexpected(err)
}

// ReadByte reads one byte of the record.
func (r *recordReader) ReadByte() (byte, error) {
	if r.left <= 0 {
		return 0, errRecord
	}
	r.left--
	b, err := r.in.ReadByte()
	return b, unexpected(err)
}

// varint reads a number of at most 64 bits as protobuf's sint64 has it.
func (r *recordReader) varint() (int64, error) {
	n, err := binary.ReadVarint(r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, errRecord) {
		return 0, errRecord // an overflow
	}
	return n, err
}

func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
