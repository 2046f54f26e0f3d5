package kafka

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"
)

func codecs() map[kgo.CompressionCodecType]kgo.CompressionCodec {
	return map[kgo.CompressionCodecType]kgo.CompressionCodec{
		kgo.CodecNone: kgo.NoCompression(), kgo.CodecGzip: kgo.GzipCompression(), kgo.CodecSnappy: kgo.SnappyCompression(),
		kgo.CodecLz4: kgo.Lz4Compression(), kgo.CodecZstd: kgo.ZstdCompression(),
	}
}

func pack(t testing.TB, codec kgo.CompressionCodecType, unpacked []byte) []byte {
	if codec == kgo.CodecNone {
		return unpacked
	}
	c, err := kgo.DefaultCompressor(codecs()[codec])
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	packed, used := c.Compress(&out, unpacked)
	if used != codec {
		t.Fatalf("packed with %d, want %d", used, codec)
	}
	return bytes.Clone(packed)
}

// encode writes records as a batch holds them.
func encode(base int64, records []*kgo.Record) (out []byte) {
	for _, r := range records {
		k := kmsg.Record{OffsetDelta: int32(r.Offset - base), TimestampDelta64: 1 << 40, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			k.Headers = append(k.Headers, kmsg.Header{Key: h.Key, Value: h.Value})
		}
		body := k.AppendTo(nil)[1:] // its length is not known yet, and a zero takes one byte
		out = append(appendVarint(out, int64(len(body))), body...)
	}
	return out
}

func appendVarint(b []byte, n int64) []byte {
	u := uint64(n<<1) ^ uint64(n>>63)
	for ; u >= 0x80; u >>= 7 {
		b = append(b, byte(u)|0x80)
	}
	return append(b, byte(u))
}

func anyRecords(t *rapid.T, base int64) []*kgo.Record {
	part := rapid.OneOf(rapid.Just([]byte(nil)), rapid.SliceOfN(rapid.Byte(), 0, 300))
	offset := base
	var records []*kgo.Record
	for range rapid.IntRange(1, 30).Draw(t, "records") {
		r := &kgo.Record{Offset: offset, Timestamp: time.UnixMilli(1 << 40).UTC(), Key: part.Draw(t, "key"), Value: part.Draw(t, "value")}
		for range rapid.IntRange(0, 3).Draw(t, "headers") {
			r.Headers = append(r.Headers, kgo.RecordHeader{Key: rapid.StringN(0, 5, 9).Draw(t, "name"), Value: part.Draw(t, "header")})
		}
		records = append(records, r)
		offset += rapid.Int64Range(1, 3).Draw(t, "step")
	}
	return records
}

// Reading a batch as a stream gives the same as limiting each of its records.
func TestABatchIsReadRecordByRecord(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		const base = 1000
		records := anyRecords(rt, base)
		limits := RecordLimits{Part: rapid.IntRange(20, 400).Draw(rt, "part"), Kept: rapid.IntRange(0, 20).Draw(rt, "kept")}
		codec := kgo.CompressionCodecType(rapid.IntRange(0, 4).Draw(rt, "codec"))
		from := rapid.Int64Range(base, base+40).Draw(rt, "from")
		b := &Batch{First: base, Next: base + 100, records: int32(len(records)), codec: codec, packed: pack(t, codec, encode(base, records))}
		var got, want []Record
		if err := b.Each(from, limits, func(r Record) error { got = append(got, r); return nil }); err != nil {
			rt.Fatal(err)
		}
		for _, r := range records {
			if r.Offset >= from {
				want = append(want, Limit(r, limits))
			}
		}
		for i := range want { // a stream does not count headers to their end once they are too long
			if o := want[i].Oversize; o != nil && o.Part == partHeaders && i < len(got) && got[i].Oversize != nil {
				o.Size = got[i].Oversize.Size
			}
		}
		if !reflect.DeepEqual(got, want) {
			rt.Fatalf("read %+v\nwant %+v", got, want)
		}
	})
}

func TestABatchThatIsCutOffIsUnpackable(t *testing.T) {
	records := []*kgo.Record{{Offset: 5, Value: []byte("first")}, {Offset: 6, Value: bytes.Repeat([]byte("x"), 500)}}
	whole := encode(5, records)
	for n := range whole {
		b := &Batch{First: 5, Next: 7, records: 2, packed: whole[:n]}
		err := b.Each(0, RecordLimits{Part: 100, Kept: 10}, func(Record) error { return nil })
		if !errors.Is(err, ErrUnpackable) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

// Of a batch that is damaged it is still told where it ends: somebody may want to go on there.
func TestABatchWithAWrongChecksumTellsItsEnd(t *testing.T) {
	b := kmsg.RecordBatch{FirstOffset: 7, Magic: 2, LastOffsetDelta: 4, NumRecords: 5, Records: []byte("damaged")}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	got, err := firstBatch(&kmsg.FetchResponseTopicPartition{RecordBatches: b.AppendTo(nil)}, 9)
	if !errors.Is(err, ErrUnpackable) || got == nil || got.Next != 12 {
		t.Errorf("%+v, %v", got, err)
	}
}

// The window of a zstd frame says how much a stream has to hold. Compressors at their highest levels make it
// 128 MiB whatever the content.
func TestALargeZstdWindowNeedsNoLargeMemory(t *testing.T) {
	for size, want := range map[int]error{5 << 20: nil, 40 << 20: ErrUnpackable} {
		var packed bytes.Buffer
		z, err := zstd.NewWriter(&packed, zstd.WithWindowSize(128<<20))
		if err != nil {
			t.Fatal(err)
		}
		unpacked := encode(0, []*kgo.Record{{Value: make([]byte, size)}})
		for part := range slices.Chunk(unpacked, 1<<20) { // in one piece it would get a smaller window
			if _, err := z.Write(part); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		b := &Batch{Next: 1, records: 1, codec: kgo.CodecZstd, packed: packed.Bytes()}
		err = b.Each(0, RecordLimits{Part: 100, Kept: 10}, func(Record) error { return nil })
		if !errors.Is(err, want) {
			t.Errorf("%d MiB: %v, want %v", size>>20, err, want)
		}
	}
}

func FuzzRecordReader(f *testing.F) {
	f.Add([]byte{0x0c, 0, 0, 0, 1, 1, 0}, byte(0))
	f.Add(encode(0, []*kgo.Record{{Key: []byte("k"), Value: make([]byte, 200), Headers: []kgo.RecordHeader{{Key: "h"}}}}), byte(0))
	f.Add(pack(f, kgo.CodecZstd, make([]byte, 1000)), byte(kgo.CodecZstd))
	f.Fuzz(func(t *testing.T, packed []byte, codec byte) {
		b := &Batch{Next: 1 << 31, records: 3, codec: kgo.CompressionCodecType(codec % 6), packed: packed}
		limits := RecordLimits{Part: 64, Kept: 8}
		err := b.Each(0, limits, func(r Record) error {
			if len(r.Value) > limits.Part || len(r.Key) > limits.Part || headersSize(r.Headers) > int64(limits.Part) {
				t.Fatalf("over its limits: %+v", r)
			}
			return nil
		})
		if err != nil && !errors.Is(err, ErrUnpackable) {
			t.Fatal(err)
		}
	})
}

func TestUnpackerBoundsWhatTheClientHolds(t *testing.T) {
	records := make([]*kgo.Record, 100)
	for i := range records {
		records[i] = &kgo.Record{Offset: int64(i), Value: bytes.Repeat([]byte("x"), 10_000)}
	}
	unpacked := encode(0, records)
	for codec := range codecs() {
		if codec == kgo.CodecNone {
			continue
		}
		t.Run(fmt.Sprint(codec), func(t *testing.T) {
			src := pack(t, codec, unpacked)
			u := NewUnpacker(3 << 20)
			var held [][]byte
			for {
				out, err := u.Decompress(src, codec)
				if errors.Is(err, ErrNoRoom) {
					break
				}
				if err != nil || !bytes.Equal(out, unpacked) {
					t.Fatalf("unpacked %d bytes: %v", len(out), err)
				}
				held = append(held, out)
			}
			if len(held) != 3 {
				t.Errorf("it holds %d batches of 1 MB in 3 MiB", len(held))
			}
			for _, out := range held {
				u.PutDecompressBytes(out)
			}
			if u.held != 0 || len(u.cost) != 0 {
				t.Errorf("%d bytes of %d batches are held after all were let go", u.held, len(u.cost))
			}
			for _, size := range []int{MaxUnpackedBatch + 1, 50 << 20} {
				if _, err := u.Decompress(pack(t, codec, make([]byte, size)), codec); !errors.Is(err, kgo.ErrMaxDecompress) {
					t.Errorf("%d bytes: %v", size, err)
				}
			}
		})
	}
}

// A record of no bytes takes more than its bytes in memory.
func TestUnpackerCountsRecordsAndHeaders(t *testing.T) {
	u := NewUnpacker(1 << 30)
	tiny := make([]*kgo.Record, 30_000)
	for i := range tiny {
		tiny[i] = &kgo.Record{Offset: int64(i)}
	}
	headers := []*kgo.Record{{Headers: make([]kgo.RecordHeader, 70_000)}}
	for name, records := range map[string][]*kgo.Record{"records": tiny, "headers": headers} {
		if _, err := u.Decompress(pack(t, kgo.CodecZstd, encode(0, records)), kgo.CodecZstd); !errors.Is(err, kgo.ErrMaxDecompress) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The client gives messages in the formats before Kafka 0.11 back to no pool, so they must take no room.
func TestUnpackerCountsNoOldMessages(t *testing.T) {
	u := NewUnpacker(1 << 20)
	old := append(make([]byte, 12), bytes.Repeat([]byte("message"), 50_000)...) // begins with an offset
	for range 10 {
		out, err := u.Decompress(pack(t, kgo.CodecGzip, old), kgo.CodecGzip)
		if err != nil || !bytes.Equal(out, old) {
			t.Fatalf("unpacked %d bytes: %v", len(out), err)
		}
	}
	if u.held != 0 {
		t.Errorf("it holds %d bytes for ever", u.held)
	}
}
