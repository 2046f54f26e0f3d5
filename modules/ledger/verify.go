package ledger

import (
	"errors"

	"github.com/transparency-dev/merkle/proof"
)

// What VerifyInclusion and VerifyConsistency say.
var (
	ErrNotIncluded     = errors.New("the proof does not lead from this entry to the root")
	ErrNotConsistent   = errors.New("the proof does not show that the later log is the earlier one and more")
	errEntryBeyondSize = errors.New("the entry's index is not below the log's size")
	errProofLong       = errors.New("the proof has more hashes than any log needs")
)

// VerifyInclusion checks that the log of size entries with this root has leaf at index. The caller MUST
// have computed leaf from the entry itself.
func VerifyInclusion(leaf Hash, index, size int64, p Proof, root Hash) error {
	switch {
	case index < 0 || index >= size:
		return errEntryBeyondSize
	case len(p) > MaxProof:
		return errProofLong
	}
	if proof.VerifyInclusion(treeHasher{}, uint64(index), uint64(size), leaf[:], p.slices(), root[:]) != nil {
		return ErrNotIncluded
	}
	return nil
}

// VerifyConsistency checks that the log of size to with the root toRoot is the log of size from with the
// root fromRoot, and more. An empty log is followed by any, and proves nothing: from it, and to it, only
// its own root and a proof without hashes pass.
func VerifyConsistency(from, to int64, fromRoot, toRoot Hash, p Proof) error {
	switch {
	case from < 0 || to < from:
		return ErrNotConsistent
	case len(p) > MaxProof:
		return errProofLong
	case from == 0 && fromRoot != EmptyRoot(), to == 0 && toRoot != EmptyRoot():
		// The library looks at no root here: any would pass for an empty log's.
		return ErrNotConsistent
	}
	if proof.VerifyConsistency(treeHasher{}, uint64(from), uint64(to), p.slices(), fromRoot[:], toRoot[:]) != nil {
		return ErrNotConsistent
	}
	return nil
}

func (p Proof) slices() [][]byte {
	out := make([][]byte, len(p))
	for i := range p {
		out[i] = p[i][:]
	}
	return out
}

// treeHasher is RFC 6962's hashing for the merkle library; its own allocates three times a node.
type treeHasher struct{}

func (treeHasher) EmptyRoot() []byte {
	h := EmptyRoot()
	return h[:]
}

func (treeHasher) HashLeaf(leaf []byte) []byte {
	h := LeafHash(leaf)
	return h[:]
}

func (treeHasher) HashChildren(left, right []byte) []byte {
	h := NodeHash(Hash(left), Hash(right))
	return h[:]
}

func (treeHasher) Size() int { return HashSize }
