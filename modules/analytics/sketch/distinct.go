package sketch

import (
	"math"
	"math/bits"
	"slices"
	"sort"

	"github.com/cespare/xxhash/v2"
)

const (
	precision = 12 // bits of the hash that choose a register: the standard error is 1.04/√4096, which is 1.6 %
	registers = 1 << precision
	maxRank   = 64 - precision + 1

	// A sparse form takes three bytes a register, and ends where it is no shorter than the dense one.
	maxSparse = registers/3 - 1
)

// The first byte of an encoded Distinct.
const (
	formSparse = 1
	formDense  = 2
)

// Distinct estimates how many different texts were added (HyperLogLog; Flajolet et al. 2007, with the estimator of Ertl,
// arXiv:1702.01284). The zero value has none.
type Distinct struct {
	sparse []uint32 // register<<6 | rank, in order; while dense is nil
	dense  []uint8
}

// Add adds a text, given in parts.
func (d *Distinct) Add(parts ...string) {
	var h xxhash.Digest
	h.Reset()
	for _, p := range parts {
		_, _ = h.WriteString(p) // never fails
		_, _ = h.Write([]byte{0})
	}
	sum := h.Sum64()
	rank := bits.LeadingZeros64(sum<<precision|1<<(precision-1)) + 1
	d.raise(uint32(sum>>(64-precision)), uint8(rank))
}

// raise lets a register be at least rank.
func (d *Distinct) raise(register uint32, rank uint8) {
	if d.dense != nil {
		d.dense[register] = max(d.dense[register], rank)
		return
	}
	i := sort.Search(len(d.sparse), func(i int) bool { return d.sparse[i]>>6 >= register })
	if i < len(d.sparse) && d.sparse[i]>>6 == register {
		d.sparse[i] = max(d.sparse[i], register<<6|uint32(rank))
		return
	}
	if len(d.sparse) < maxSparse {
		d.sparse = slices.Insert(d.sparse, i, register<<6|uint32(rank))
		return
	}
	d.dense = make([]uint8, registers)
	for _, entry := range d.sparse {
		d.dense[entry>>6] = uint8(entry & 63)
	}
	d.sparse = nil
	d.raise(register, rank)
}

// Merge adds all that was added to another one, given in its encoded form.
func (d *Distinct) Merge(encoded []byte) error {
	if len(encoded) == 0 {
		return nil
	}
	body := encoded[1:]
	switch {
	case encoded[0] == formSparse && len(body)%3 == 0:
		for ; len(body) > 0; body = body[3:] {
			entry := uint32(body[0])<<16 | uint32(body[1])<<8 | uint32(body[2])
			if entry>>6 >= registers || entry&63 > maxRank {
				return errForm
			}
			d.raise(entry>>6, uint8(entry&63))
		}
	case encoded[0] == formDense && len(body) == registers:
		for i, rank := range body {
			if rank > maxRank {
				return errForm
			}
			if rank > 0 {
				d.raise(uint32(i), rank)
			}
		}
	default:
		return errForm
	}
	return nil
}

// Encode returns the sketch as bytes; none where nothing was added.
func (d *Distinct) Encode() []byte {
	if d.dense != nil {
		return append([]byte{formDense}, d.dense...)
	}
	if len(d.sparse) == 0 {
		return nil
	}
	out := append(make([]byte, 0, 1+3*len(d.sparse)), formSparse)
	for _, entry := range d.sparse {
		out = append(out, byte(entry>>16), byte(entry>>8), byte(entry))
	}
	return out
}

// Estimate returns about how many different texts were added.
func (d *Distinct) Estimate() int64 {
	var counts [maxRank + 1]float64
	if d.dense != nil {
		for _, rank := range d.dense {
			counts[rank]++
		}
	} else {
		counts[0] = float64(registers - len(d.sparse))
		for _, entry := range d.sparse {
			counts[entry&63]++
		}
	}
	const m = float64(registers)
	z := m * tau(1-counts[maxRank]/m)
	for k := maxRank - 1; k >= 1; k-- {
		z = 0.5 * (z + counts[k])
	}
	z += m * sigma(counts[0]/m)
	return int64(math.Round(m * m / (2 * math.Ln2) / z))
}

// sigma and tau correct for registers that are empty, and that are full.
func sigma(x float64) float64 {
	if x == 1 {
		return math.Inf(1)
	}
	y, z := 1.0, x
	for before := math.NaN(); z != before; y += y {
		x *= x
		before = z
		z += x * y
	}
	return z
}

func tau(x float64) float64 {
	if x == 0 || x == 1 {
		return 0
	}
	y, z := 1.0, 1-x
	for before := math.NaN(); z != before; {
		x = math.Sqrt(x)
		before = z
		y *= 0.5
		z -= (1 - x) * (1 - x) * y
	}
	return z / 3
}
