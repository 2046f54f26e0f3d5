package kafka

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Record is a record within RecordLimits.
type Record struct {
	Offset  int64
	Time    time.Time // as producer or broker set it
	Key     []byte
	Value   []byte // nil for a tombstone
	Headers []kgo.RecordHeader

	// Oversize is set where a part is longer than the limits allow. Only the beginnings of key and value
	// are there then, and no headers.
	Oversize *Oversize
}

// RecordLimits bound what a record may take.
type RecordLimits struct {
	Part int // bytes of the value, of the key, and of the headers, each of which counts headerCost more
	Kept int // bytes of key and value that are kept where a part is longer
}

// headerCost is what a header takes in memory beside its bytes.
const headerCost = 64

// Oversize describes a record of which a part is longer than allowed.
type Oversize struct {
	Part        string // "value", "key" or "headers"
	Size, Limit int64  // of that part, in bytes
	ValueLength int64
	ValueSHA256 [sha256.Size]byte // of the whole value
}

// String says what is too long, without quoting it.
func (o *Oversize) String() string {
	verb := "has"
	if o.Part == partHeaders {
		verb = "take"
	}
	return fmt.Sprintf("the %s %s %d bytes; at most %d are allowed", o.Part, verb, o.Size, o.Limit)
}

// The parts of a record.
const (
	partKey     = "key"
	partValue   = "value"
	partHeaders = "headers"
)

// Limit copies a record, so that it does not hold the fetch that it came in.
func Limit(r *kgo.Record, limits RecordLimits) Record {
	out := Record{Offset: r.Offset, Time: r.Timestamp}
	part, size := partValue, int64(len(r.Value))
	if size <= int64(limits.Part) {
		part, size = partKey, int64(len(r.Key))
	}
	if size <= int64(limits.Part) {
		part, size = partHeaders, headersSize(r.Headers)
	}
	if size > int64(limits.Part) {
		out.Oversize = &Oversize{Part: part, Size: size, Limit: int64(limits.Part),
			ValueLength: int64(len(r.Value)), ValueSHA256: sha256.Sum256(r.Value)}
		out.Key, out.Value = limits.cut(r.Key), limits.cut(r.Value)
		return out
	}
	buf := make([]byte, 0, len(r.Key)+len(r.Value))
	out.Key, buf = copyInto(buf, r.Key)
	out.Value, _ = copyInto(buf, r.Value)
	if len(r.Headers) > 0 {
		out.Headers = make([]kgo.RecordHeader, len(r.Headers))
	}
	for i, h := range r.Headers {
		out.Headers[i] = kgo.RecordHeader{Key: strings.Clone(h.Key), Value: bytes.Clone(h.Value)}
	}
	return out
}

// copyInto appends b to buf, which has room for it, and returns the copy and the longer buf.
func copyInto(buf, b []byte) (copied, rest []byte) {
	if b == nil {
		return nil, buf
	}
	at := len(buf)
	buf = append(buf, b...)
	return buf[at:len(buf):len(buf)], buf
}

func (l RecordLimits) cut(b []byte) []byte {
	return bytes.Clone(b[:min(len(b), l.Kept)])
}

func headersSize(headers []kgo.RecordHeader) int64 {
	n := int64(0)
	for i := range headers {
		n += headerCost + int64(len(headers[i].Key)+len(headers[i].Value))
	}
	return n
}
