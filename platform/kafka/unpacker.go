package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Unpacker unpacks the batches that a consumer fetches, and bounds what the client holds of them. A fetch
// of 4 MiB can unpack to gigabytes.
//
// A batch that takes more than MaxUnpackedBatch, or that can't be unpacked, stops its partition with
// kgo.ErrDecompressTooLarge: read it by FetchBatch, and go on behind it by SetOffsets. A batch that would take the client over its bound is
// fetched again later; the poll may return ErrNoRoom for its partition, which is no reason to do anything.
//
// After each poll, once it has copied what it needs of the records, the consumer MUST call Release.
type Unpacker struct {
	bound int64
	pool  sync.Pool // of *unpacking

	mu    sync.Mutex
	held  int64
	cost  map[*byte]int64 // of each unpacked batch that the client holds, by its first byte
	taken []*kgo.Record   // polled, or passed by because their partition is paused
}

// MaxUnpackedBatch is how much memory the client may take for one batch, with its records.
const MaxUnpackedBatch = 4 << 20

// ErrNoRoom says that a batch has to wait, since the client holds too many unpacked ones.
var ErrNoRoom = errors.New("the client holds too many unpacked batches")

// NewUnpacker makes an Unpacker that lets the client hold as many bytes of unpacked batches.
func NewUnpacker(bound int64) *Unpacker {
	return &Unpacker{bound: bound, cost: map[*byte]int64{}, pool: sync.Pool{New: func() any { return new(unpacking) }}}
}

// Options make a client use the Unpacker. It MUST NOT be shared by clients.
func (u *Unpacker) Options() []kgo.Opt {
	return []kgo.Opt{kgo.WithDecompressor(u), kgo.WithPools(u), kgo.WithHooks(u)}
}

// Decompress implements kgo.Decompressor.
func (u *Unpacker) Decompress(src []byte, codec kgo.CompressionCodecType) ([]byte, error) {
	if codec == kgo.CodecNone {
		return src, nil
	}
	with, ok := u.pool.Get().(*unpacking)
	if !ok {
		return nil, errors.New("not an unpacking")
	}
	defer u.pool.Put(with)
	unpacked, err := with.unpack(src, codec)
	if err != nil {
		// What does not fit in and what is malformed can't be told apart: zstd reports both alike.
		return nil, kgo.ErrMaxDecompress
	}
	records, whole := recordsCost(unpacked)
	cost := int64(len(unpacked)) + records
	if cost > MaxUnpackedBatch || !whole { // the client passes by, without a word, what is behind a malformed record
		return nil, kgo.ErrMaxDecompress
	}
	if records == 0 { // nothing, or a format of before Kafka 0.11, which the client never gives back
		return bytes.Clone(unpacked), nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.held+cost > u.bound {
		return nil, ErrNoRoom
	}
	unpacked = bytes.Clone(unpacked)
	u.held += cost
	u.cost[&unpacked[0]] = cost
	return unpacked, nil
}

// GetDecompressBytes is never called, because the client uses Decompress. It makes an Unpacker a
// kgo.PoolDecompressBytes.
func (u *Unpacker) GetDecompressBytes([]byte, kgo.CompressionCodecType) []byte { return nil }

// PutDecompressBytes implements kgo.PoolDecompressBytes: the client let go of a batch.
func (u *Unpacker) PutDecompressBytes(unpacked []byte) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.held -= u.cost[&unpacked[0]]
	delete(u.cost, &unpacked[0])
}

// OnFetchRecordUnbuffered implements kgo.HookFetchRecordUnbuffered.
func (u *Unpacker) OnFetchRecordUnbuffered(r *kgo.Record, polled bool) {
	switch {
	case r.Context == nil: // its batch was not compressed
	case polled:
		u.mu.Lock()
		defer u.mu.Unlock()
		u.taken = append(u.taken, r)
	default:
		r.Recycle()
	}
}

// Release lets go of all records that were polled.
func (u *Unpacker) Release() {
	u.mu.Lock()
	taken := u.taken
	u.taken = nil
	u.mu.Unlock()
	for _, r := range taken {
		r.Recycle()
	}
}

// recordsCost is what the client takes for the records of an unpacked batch beside their bytes. The
// formats before Kafka 0.11 cost nothing: they begin with a zero, which is no length of a record. whole is false
// where a record is malformed.
func recordsCost(in []byte) (cost int64, whole bool) {
	const shortest = 6 // bytes of a record
	for len(in) > 0 {
		length, used := binary.Varint(in)
		if used <= 0 || length < shortest || length > int64(len(in)-used) {
			return cost, cost == 0
		}
		headers, ok := headerCount(in[used : used+int(length)])
		if !ok {
			return cost, false
		}
		cost += int64(unsafe.Sizeof(kgo.Record{})) + headerCost*headers
		in = in[used+int(length):]
	}
	return cost, true
}

// headerCount reads past the attributes, the two deltas, the key and the value. ok is false where they are malformed.
func headerCount(body []byte) (count int64, ok bool) {
	at := 1
	for range 2 {
		_, used := binary.Varint(body[at:])
		if used <= 0 {
			return 0, false
		}
		at += used
	}
	for range 2 {
		length, used := binary.Varint(body[at:])
		if used <= 0 || length > int64(len(body)-at-used) {
			return 0, false
		}
		at += used + int(max(length, 0))
	}
	count, used := binary.Varint(body[at:])
	if used <= 0 || count < 0 || count > int64(len(body)) {
		return 0, false
	}
	return count, true
}

// unpacking is what one unpacking needs, used again and again.
type unpacking struct {
	src  bytes.Reader
	out  []byte
	zstd *zstd.Decoder
	gzip *gzip.Reader
	lz4  *lz4.Reader
}

// unpack returns the unpacked bytes, which are good until the next call.
func (w *unpacking) unpack(src []byte, codec kgo.CompressionCodecType) (out []byte, err error) {
	if w.out == nil {
		w.out = make([]byte, 0, MaxUnpackedBatch)
	}
	w.src.Reset(src)
	switch codec {
	case kgo.CodecGzip:
		if w.gzip == nil {
			w.gzip = new(gzip.Reader)
		}
		if err := w.gzip.Reset(&w.src); err != nil {
			return nil, err
		}
		return w.readAll(w.gzip)
	case kgo.CodecLz4:
		if w.lz4 == nil {
			w.lz4 = lz4.NewReader(nil)
		}
		w.lz4.Reset(&w.src)
		return w.readAll(w.lz4)
	case kgo.CodecSnappy:
		if isXerial(src) {
			return w.readAll(&xerialReader{src: src[xerialHeader:]})
		}
		if n, err := s2.DecodedLen(src); err == nil && n > MaxUnpackedBatch {
			return nil, kgo.ErrMaxDecompress
		}
		return s2.Decode(w.out[:cap(w.out)], src)
	case kgo.CodecZstd:
		return w.unpackZstd(src)
	default:
		return nil, fmt.Errorf("unknown codec %d", codec)
	}
}

func (w *unpacking) unpackZstd(src []byte) (out []byte, err error) {
	if w.zstd == nil {
		// The content is bounded by the room for it; the window, which takes no memory here, is not.
		w.zstd, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxAnyWindow), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, err
		}
	}
	return w.zstd.DecodeAll(src, w.out)
}

func (w *unpacking) readAll(from io.Reader) ([]byte, error) {
	out := w.out[:cap(w.out)]
	for n := 0; n < len(out); {
		read, err := from.Read(out[n:])
		n += read
		if errors.Is(err, io.EOF) {
			return out[:n], nil
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, kgo.ErrMaxDecompress // it is full: there may be more
}
