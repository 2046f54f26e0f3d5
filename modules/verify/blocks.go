package verify

import (
	"encoding/binary"
	"hash/maphash"
	"maps"
	"slices"
	"sync"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// blockBits makes a block of the batches that begin at 1,024 positions. Blocks are that few so that rows spread
// over all possible positions take no more memory than they take on disk.
const blockBits = 10

func blockOf(first int64) int64 { return first >> blockBits }

// blocks holds sums over all rows, keys and leaves of a log, for each block. It takes about 100 bytes for a thousand
// entries, and grows with the rows that exist, not with what the ledger claims. It is safe for concurrent use.
type blocks struct {
	seed maphash.Seed // new in each verification, so that nobody can make two sums equal
	mu   sync.Mutex
	list map[int64]*block
}

// block is the sums over the batches of one block. A block fits if leaves equal rows, and events equal keys.
type block struct {
	leaves, rows tally // leaves that the root was computed from, and leaves computed from rows
	events, keys tally // what rows and keys have in common
}

func (b *block) fits() bool { return b.leaves == b.rows && b.events == b.keys }

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

// at returns the block of a batch, by its first position, and makes it if there is none. The caller holds mu.
func (b *blocks) at(first int64) *block {
	found := b.list[blockOf(first)]
	if found == nil {
		found = &block{}
		b.list[blockOf(first)] = found
	}
	return found
}

// addLeaves counts leaves of a batch, from an index on.
func (b *blocks) addLeaves(first, index int64, leaves []ledger.Hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	block := b.at(first)
	for i, leaf := range leaves {
		block.leaves.add(b.leafSum(first+index+int64(i), leaf))
	}
}

// addRow counts a row of a batch.
func (b *blocks) addRow(first int64, row *audit.Row) {
	leaf := b.leafSum(first+int64(row.Index()), row.Leaf)
	key := b.keySum(row.EventID, row.Batch(), row.Timestamp, row.Digest[:])
	b.mu.Lock()
	defer b.mu.Unlock()
	block := b.at(first)
	block.rows.add(leaf)
	if row.EventID != (event.ID{}) { // entries of the access log have no keys
		block.events.add(key)
	}
}

// addKey counts a key of a batch.
func (b *blocks) addKey(first int64, k *audit.Key) {
	key := b.keySum(k.EventID, k.Batch, k.Timestamp, k.Digest)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at(first).keys.add(key)
}

// differing returns the numbers of the blocks that do not fit, sorted: few are those with at most so many rows, keys
// and leaves in all, and others the remaining ones.
func (b *blocks) differing(most int64) (few, others []int64) {
	for _, number := range slices.Sorted(maps.Keys(b.list)) {
		block := b.list[number]
		n := max(block.leaves.count, block.rows.count, block.events.count, block.keys.count)
		switch {
		case block.fits():
		case n <= most:
			most -= n
			few = append(few, number)
		default:
			others = append(others, number)
		}
	}
	return few, others
}
