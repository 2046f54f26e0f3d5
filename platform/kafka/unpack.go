package kafka

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	// maxWindow is the largest zstd window that is unpacked as a stream. RFC 8878 asks decoders for 8 MiB.
	maxWindow = 16 << 20
	// maxWhole bounds what is unpacked in one piece because it can't be streamed: a raw snappy block, or a
	// zstd frame with a larger window.
	maxWhole = 32 << 20
	// maxAnyWindow is the largest window that zstd's own compressor makes (level 22).
	maxAnyWindow = 128 << 20
)

// ErrUnpackable says that a batch can't be unpacked within bounded memory, or is not what its codec says.
var ErrUnpackable = errors.New("the batch can't be unpacked")

// unpackStream returns the unpacked bytes of a batch as a stream. It holds at most maxWhole bytes of them.
// The caller MUST call close.
func unpackStream(src []byte, codec kgo.CompressionCodecType) (r io.Reader, closeStream func(), err error) {
	nothing := func() {}
	switch codec {
	case kgo.CodecNone:
		return bytes.NewReader(src), nothing, nil
	case kgo.CodecGzip:
		r, err = gzip.NewReader(bytes.NewReader(src))
	case kgo.CodecSnappy:
		r, err = snappyStream(src)
	case kgo.CodecLz4:
		r = lz4.NewReader(bytes.NewReader(src))
	case kgo.CodecZstd:
		return zstdStream(src)
	default:
		err = fmt.Errorf("unknown codec %d", codec)
	}
	if err != nil { // a library's words are left out: they may quote a value
		return nil, nil, fmt.Errorf("%w: its codec %d does not read it", ErrUnpackable, codec)
	}
	return r, nothing, nil
}

func zstdStream(src []byte) (io.Reader, func(), error) {
	var h zstd.Header
	if err := h.Decode(src); err != nil {
		return nil, nil, fmt.Errorf("%w: it is no zstd frame", ErrUnpackable)
	}
	window := h.WindowSize
	if h.SingleSegment {
		window = h.FrameContentSize
	}
	if window > maxWindow {
		// The window is larger than a stream may hold, but the content need not be.
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(maxAnyWindow), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return nil, nil, err
		}
		defer d.Close()
		whole, err := d.DecodeAll(src, make([]byte, 0, maxWhole))
		if err != nil {
			return nil, nil, fmt.Errorf("%w: its zstd window has %d bytes, and it is longer than %d or malformed", ErrUnpackable, window, maxWhole)
		}
		return bytes.NewReader(whole), func() {}, nil
	}
	d, err := zstd.NewReader(bytes.NewReader(src), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecodeBuffersBelow(0))
	if err != nil {
		return nil, nil, fmt.Errorf("%w: it is no zstd frame", ErrUnpackable)
	}
	return d, d.Close, nil
}

// xerialMagic begins the framing of snappy that Java's producers write: a header of 16 bytes, then blocks,
// each behind its length in four bytes.
var xerialMagic = []byte{0x82, 'S', 'N', 'A', 'P', 'P', 'Y', 0}

const xerialHeader = 16

func snappyStream(src []byte) (io.Reader, error) {
	if isXerial(src) {
		return &xerialReader{src: src[xerialHeader:]}, nil
	}
	block, err := snappyBlock(nil, src)
	return bytes.NewReader(block), err
}

func isXerial(src []byte) bool { return len(src) >= xerialHeader && bytes.HasPrefix(src, xerialMagic) }

func snappyBlock(dst, src []byte) ([]byte, error) {
	n, err := s2.DecodedLen(src)
	if err != nil {
		return nil, err
	}
	if n > maxWhole {
		return nil, fmt.Errorf("a snappy block of %d bytes; at most %d are unpacked in one piece", n, maxWhole)
	}
	return s2.Decode(dst, src)
}

// xerialReader unpacks one block after the other.
type xerialReader struct {
	src   []byte
	buf   []byte // reused
	block []byte // the part of buf that was not read yet
}

func (x *xerialReader) Read(p []byte) (int, error) {
	for len(x.block) == 0 {
		if len(x.src) == 0 {
			return 0, io.EOF
		}
		if len(x.src) < 4 {
			return 0, io.ErrUnexpectedEOF
		}
		n := int64(binary.BigEndian.Uint32(x.src))
		if n > int64(len(x.src)-4) {
			return 0, io.ErrUnexpectedEOF
		}
		block, err := snappyBlock(x.buf[:cap(x.buf)], x.src[4:4+n])
		if err != nil {
			return 0, err
		}
		x.src, x.buf, x.block = x.src[4+n:], block, block
	}
	n := copy(p, x.block)
	x.block = x.block[n:]
	return n, nil
}
