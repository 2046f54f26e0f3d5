package verify

import (
	"encoding/binary"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// blockBits makes a block of 1,024 positions. Blocks are that few so that rows spread over all possible
// positions take no more memory than they take on disk.
const blockBits = 10

// blocks holds sums over all rows, keys and leaves, for each 1,024 positions. It takes about 100 bytes for a
// thousand events, and grows with the rows that exist, not with what the ledger claims. It is safe for
// concurrent use.
type blocks struct {
	seed maphash.Seed // new in each verification, so that nobody can make two sums equal
	mu   sync.Mutex
	list map[int64]*block // by position >> blockBits
}

// block is the sums of one block. Keys have no position, so they and their events count in the block where
// their batch begins.
type block struct {
	leaves, rows tally // leaves that the root was computed from, and leaves computed from rows
	events, keys tally // what rows and keys have in common
}

func (b *block) leavesDiffer() bool { return b.leaves != b.rows }
func (b *block) keysDiffer() bool   { return b.events != b.keys }

// tally is a sum over a set; it does not depend on the order.
type tally struct {
	count int64
	sum   uint64
}

func (t *tally) add(sum uint64) {
	t.count++
	t.sum += sum
}

func newBlocks() *blocks { return &blocks{seed: maphash.MakeSeed(), list: map[int64]*block{}} }

// keySum returns the summand for what a row and its key have in common.
func (b *blocks) keySum(id event.ID, batch int64, timestamp time.Time, digest []byte) uint64 {
	var space [16 + 8 + 8 + event.DigestSize]byte
	text := append(space[:0], id[:]...)
	text = binary.BigEndian.AppendUint64(text, uint64(batch))
	text = binary.BigEndian.AppendUint64(text, uint64(timestamp.UnixMicro()))
	return maphash.Bytes(b.seed, append(text, digest...))
}

// leafSum returns the summand for a leaf at its position.
func (b *blocks) leafSum(position int64, leaf ledger.Hash) uint64 {
	var space [8 + ledger.HashSize]byte
	text := binary.BigEndian.AppendUint64(space[:0], uint64(position))
	return maphash.Bytes(b.seed, append(text, leaf[:]...))
}

// at returns the block of a position, and makes it if there is none. The caller holds mu.
func (b *blocks) at(position int64) *block {
	found := b.list[position>>blockBits]
	if found == nil {
		found = &block{}
		b.list[position>>blockBits] = found
	}
	return found
}

// addLeaves counts leaves at consecutive positions.
func (b *blocks) addLeaves(position int64, leaves []ledger.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, leaf := range leaves {
		b.at(position + int64(i)).leaves.add(b.leafSum(position+int64(i), leaf))
	}
}

// addRow counts a row of a batch whose first position is first.
func (b *blocks) addRow(position, first int64, row *audit.EventRow) {
	leaf := b.leafSum(position, row.Leaf)
	key := b.keySum(row.EventID, row.Batch(), row.Timestamp, row.Digest[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(position).rows.add(leaf)
	b.at(first).events.add(key)
}

// addKey counts a key of a batch whose first position is first.
func (b *blocks) addKey(first int64, k *audit.Key) {
	key := b.keySum(k.EventID, k.Batch, k.Timestamp, k.Digest)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(first).keys.add(key)
}

// differing returns the numbers of the blocks that differ, sorted: few are those with at most so many rows,
// keys and leaves in all, and others the remaining ones.
func (b *blocks) differing(most int64, differs func(*block) bool) (few, others []int64) {
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
			others = append(others, number)
		}
	}
	return few, others
}
