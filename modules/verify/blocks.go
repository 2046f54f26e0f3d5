package verify

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
)

// blockBits makes blocks of 1,024 positions: few, so that rows which were strewn over all positions that
// there can be take no more memory than they take on disk.
const blockBits = 10

// blocks is what is remembered of all rows: sums for each 1,024 positions. It is about 100 bytes for a
// thousand events, and grows with what is there, not with what the ledger claims. It is safe for concurrent
// use.
type blocks struct {
	seed maphash.Seed // new for each verification, so that nobody can make two sums equal
	mu   sync.Mutex
	list map[int64]*block
}

// block has sums over the positions from its number times 1,024 on.
type block struct {
	leaves, rows tally // over the leaves that the log's root was computed from, and over those that rows give
	events, keys tally // over rows and keys of the batches that begin here, by what they have in common
}

func (b *block) leavesDiffer() bool { return b.leaves != b.rows }
func (b *block) keysDiffer() bool   { return b.events != b.keys }

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

// keySum returns a number for what a row and its key have in common.
func (b *blocks) keySum(id event.ID, batch int64, timestamp time.Time, digest []byte) uint64 {
	var space [16 + 8 + 8 + event.DigestSize]byte
	text := append(space[:0], id[:]...)
	text = binary.BigEndian.AppendUint64(text, uint64(batch))
	text = binary.BigEndian.AppendUint64(text, uint64(timestamp.UnixMicro()))
	return maphash.Bytes(b.seed, append(text, digest...))
}

// leafSum returns a number for a leaf and its place.
func (b *blocks) leafSum(position int64, leaf ledger.Hash) uint64 {
	var space [8 + ledger.HashSize]byte
	text := binary.BigEndian.AppendUint64(space[:0], uint64(position))
	return maphash.Bytes(b.seed, append(text, leaf[:]...))
}

// at returns the block of a position, which is made where there was none. The caller holds mu.
func (b *blocks) at(position int64) *block {
	found := b.list[position>>blockBits]
	if found == nil {
		found = &block{}
		b.list[position>>blockBits] = found
	}
	return found
}

// addLeaves notes leaves that follow on each other.
func (b *blocks) addLeaves(position int64, leaves []ledger.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, leaf := range leaves {
		b.at(position + int64(i)).leaves.add(b.leafSum(position+int64(i), leaf))
	}
}

// placed is a row, or a key, and where it is counted.
type placed struct {
	position  int64 // of a row
	first     int64 // of its batch
	leaf, key uint64
}

func (b *blocks) addRows(rows []placed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range rows {
		b.at(p.position).rows.add(p.leaf)
		b.at(p.first).events.add(p.key)
	}
}

func (b *blocks) addKeys(keys []placed) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range keys {
		b.at(p.first).keys.add(p.key)
	}
}

// differing returns the numbers of the blocks that differ, sorted: those whose rows can be looked at one by
// one, since they are no more than most all together, and the rest.
func (b *blocks) differing(most int64, differs func(*block) bool) (few, rest []int64) {
	var all []int64
	for number, block := range b.list {
		if differs(block) {
			all = append(all, number)
		}
	}
	slices.Sort(all)
	for _, number := range all {
		block := b.list[number]
		if n := max(block.leaves.count, block.rows.count, block.events.count, block.keys.count); n <= most {
			most -= n
			few = append(few, number)
		} else {
			rest = append(rest, number)
		}
	}
	return few, rest
}
