package verify

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"sync"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// blockWidth is how many positions a block is of: few, so that rows which were strewn over all positions
// that there can be take no more memory than they take on disk.
const (
	blockBits  = 10
	blockWidth = 1 << blockBits
)

// blocks is what is remembered of all rows: a bit a position, and for each 1,024 positions a sum over
// rows and one over keys, which have to be the same, and so have one over the leaves that the log's root was
// computed from and one over those that rows fit. It is about 200 bytes for a thousand events, and grows with
// what is there, not with what the ledger claims. It is safe for concurrent use.
type blocks struct {
	seed maphash.Seed // new for each verification, so that nobody can make two sums equal
	mu   sync.Mutex
	list map[int64]*block
}

// block is the state of positions from its number times blockWidth on. rows and keys are of the batches
// that begin in it.
type block struct {
	fits       *bitmap // a row is there that gives the leaf
	misfits    *bitmap // a row is there that does not
	rows, keys tally
	// leaves are those that a root was computed from, matched those of rows that fit, one for a position.
	leaves, matched tally
}

type bitmap [blockWidth / 64]uint64

// tally is a sum over a set that does not depend on the order.
type tally struct {
	count int64
	sum   uint64
}

func (t *tally) add(sum uint64) {
	t.count++
	t.sum += sum
}

func newBlocks() *blocks { return &blocks{seed: maphash.MakeSeed(), list: map[int64]*block{}} }

// sum is a number for what a row and its key have in common.
func (b *blocks) sum(id event.ID, batch int64, timestamp time.Time, digest []byte) uint64 {
	var space [16 + 8 + 8 + event.DigestSize]byte
	text := append(space[:0], id[:]...)
	text = binary.BigEndian.AppendUint64(text, uint64(batch))
	text = binary.BigEndian.AppendUint64(text, uint64(timestamp.UnixMicro()))
	return maphash.Bytes(b.seed, append(text, digest...))
}

// leafSum is a number for a leaf and its place.
func (b *blocks) leafSum(position int64, leaf ledger.Hash) uint64 {
	var space [8 + ledger.HashSize]byte
	text := binary.BigEndian.AppendUint64(space[:0], uint64(position))
	return maphash.Bytes(b.seed, append(text, leaf[:]...))
}

// at is a block, which is made where there was none. The caller holds mu.
func (b *blocks) at(number int64) *block {
	found := b.list[number]
	if found == nil {
		found = &block{}
		b.list[number] = found
	}
	return found
}

// placed is a row or key and where it is counted.
type placed struct {
	position int64 // -1 for keys, whose position is not known
	first    int64 // of its batch
	sum      uint64
	leaf     uint64 // leafSum of the leaf that it gives
	fits     bool
}

// addRows notes rows, and answers which of them fit a position that had a fitting row before.
func (b *blocks) addRows(rows []placed) (again []int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, p := range rows {
		b.at(p.first >> blockBits).rows.add(p.sum)
		block := b.at(p.position >> blockBits)
		if !p.fits {
			set(&block.misfits, p.position)
		} else if set(&block.fits, p.position) {
			again = append(again, i)
		} else {
			block.matched.add(p.leaf)
		}
	}
	return again
}

// addLeaves notes leaves that follow on each other, as the log's root is computed from them.
func (b *blocks) addLeaves(position int64, leaves []ledger.Hash) {
	for len(leaves) > 0 {
		n := min(int64(len(leaves)), blockWidth-position%blockWidth)
		var part tally
		for i, leaf := range leaves[:n] {
			part.add(b.leafSum(position+int64(i), leaf))
		}
		b.mu.Lock()
		sum := &b.at(position >> blockBits).leaves
		sum.count += part.count
		sum.sum += part.sum
		b.mu.Unlock()
		position, leaves = position+n, leaves[n:]
	}
}

// twofold are the numbers of the blocks of which each position has a row that fits, and still the leaves
// that rows fit are not those that the root was computed from. Sorted.
func (b *blocks) twofold() (numbers []int64) {
	for number, block := range b.list {
		if block.leaves.count == block.matched.count && block.leaves != block.matched {
			numbers = append(numbers, number)
		}
	}
	slices.Sort(numbers)
	return numbers
}

func (b *blocks) addKeys(keys []placed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range keys {
		b.at(p.first >> blockBits).keys.add(p.sum)
	}
}

// set sets a bit and answers whether it was set before.
func set(m **bitmap, position int64) (before bool) {
	if *m == nil {
		*m = new(bitmap)
	}
	word, bit := position%blockWidth/64, uint64(1)<<(position%64)
	before = (*m)[word]&bit != 0
	(*m)[word] |= bit
	return before
}

func (m *bitmap) word(position int64) uint64 {
	if m == nil {
		return 0
	}
	return m[position%blockWidth/64]
}

// fits says whether a row of this position gives the leaf.
func (b *blocks) fits(position int64) bool {
	block := b.list[position>>blockBits]
	return block != nil && block.fits.word(position)>>(position%64)&1 == 1
}

// missing calls yield for each position from one up to another, without it, that has no row at all.
func (b *blocks) missing(from, to int64, yield func(position int64)) {
	for from < to {
		end := min(to, from|63+1)
		gone := ^uint64(0)
		if block := b.list[from>>blockBits]; block != nil {
			gone = ^(block.fits.word(from) | block.misfits.word(from))
		}
		gone &= ^uint64(0) << (from % 64)
		for ; gone != 0; gone &= gone - 1 {
			if position := from&^63 + int64(bits.TrailingZeros64(gone)); position < end {
				yield(position)
			}
		}
		from = end
	}
}

// unlike are the numbers of the blocks whose rows and keys are not the same, sorted: those that can be
// looked at one by one, since they hold no more than most rows and keys all together, and the rest.
func (b *blocks) unlike(most int64) (few, rest []int64) {
	var all []int64
	for number, block := range b.list {
		if block.rows != block.keys {
			all = append(all, number)
		}
	}
	slices.Sort(all)
	for _, number := range all {
		block := b.list[number]
		if n := max(block.rows.count, block.keys.count); n <= most {
			most -= n
			few = append(few, number)
		} else {
			rest = append(rest, number)
		}
	}
	return few, rest
}
