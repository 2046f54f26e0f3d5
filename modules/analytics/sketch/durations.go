package sketch

import (
	"encoding/binary"
	"maps"
	"math/bits"
	"slices"
	"time"
)

// stepBits says how fine the buckets are: each power of two has 64, so a quantile is off by less than 0.8 %.
const stepBits = 6

// Durations counts durations in buckets that widen with them, as HdrHistogram does: enough for quantiles with a bounded
// relative error, and what was added can be taken out again exactly. The zero value has none.
type Durations struct{ buckets map[uint32]int64 }

// Add adds a duration n times; it takes it out where n is negative. A duration is cut to microseconds, and is at least 0.
func (d *Durations) Add(duration time.Duration, n int64) { d.add(bucketOf(max(duration, 0)), n) }

func (d *Durations) add(bucket uint32, n int64) {
	if d.buckets == nil {
		d.buckets = map[uint32]int64{}
	}
	if d.buckets[bucket] += n; d.buckets[bucket] == 0 {
		delete(d.buckets, bucket)
	}
}

// bucketOf is by integers alone, so that it is the same on every machine.
func bucketOf(duration time.Duration) uint32 {
	us := uint64(duration.Microseconds())
	shift := max(bits.Len64(us)-stepBits-1, 0)
	return uint32(shift)<<stepBits + uint32(us>>shift)
}

// middle is the middle of a bucket.
func middle(bucket uint32) time.Duration {
	shift := uint32(0)
	if bucket >= 2<<stepBits {
		shift = bucket>>stepBits - 1
	}
	lower := uint64(bucket-shift<<stepBits) << shift
	return time.Duration(lower+uint64(1)<<shift/2) * time.Microsecond
}

// Merge adds all that was added to another one, given in its encoded form.
func (d *Durations) Merge(encoded []byte) error {
	bucket := uint64(0)
	for len(encoded) > 0 {
		step, n := binary.Uvarint(encoded)
		if n <= 0 {
			return errForm
		}
		count, m := binary.Varint(encoded[n:])
		if bucket += step; m <= 0 || bucket > 64<<stepBits {
			return errForm
		}
		d.add(uint32(bucket), count)
		encoded = encoded[n+m:]
	}
	return nil
}

// Encode returns the sketch as bytes; none where it is empty.
func (d *Durations) Encode() []byte {
	var out []byte
	last := uint32(0)
	for _, bucket := range slices.Sorted(maps.Keys(d.buckets)) {
		out = binary.AppendUvarint(out, uint64(bucket-last))
		out = binary.AppendVarint(out, d.buckets[bucket])
		last = bucket
	}
	return out
}

// Count returns how many there are.
func (d *Durations) Count() (n int64) {
	for _, count := range d.buckets {
		n += count
	}
	return n
}

// Quantile returns the duration that a share q of them, from 0 to 1, does not exceed, roughly; 0 where there is none.
func (d *Durations) Quantile(q float64) time.Duration {
	want := int64(q * float64(d.Count()-1))
	for _, bucket := range slices.Sorted(maps.Keys(d.buckets)) {
		if want -= d.buckets[bucket]; want < 0 {
			return middle(bucket)
		}
	}
	return 0
}
