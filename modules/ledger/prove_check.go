package ledger

import (
	"math/bits"
	"slices"
)

// inclusionCheck verifies many inclusion proofs against one root. Of a proof it computes the nodes below
// the first one that it has in common with the proof before, and compares the rest: for neighbouring
// leaves that is two hashes of some twenty. Whoever verifies evidence uses VerifyInclusion; a test holds
// the two against each other.
type inclusionCheck struct {
	size int64
	root Hash

	// The last proof that verified, and the nodes on its way: nodes[i] is what stands over the leaf after
	// i hashes.
	any   bool
	index int64
	proof Proof
	nodes [MaxProof + 1]Hash
}

// verify answers what VerifyInclusion does.
func (c *inclusionCheck) verify(leaf Hash, index int64, p Proof) bool {
	if index < 0 || index >= c.size {
		return false
	}
	// Below the level where the paths of the leaf and of the log's last leaf meet, the proof has a hash
	// for each level; above it, one for each that stands to the left.
	inner := bits.Len64(uint64(index ^ (c.size - 1)))
	if len(p) != inner+bits.OnesCount64(uint64(index)>>inner) {
		return false
	}
	// Where the paths of two leaves meet below that level, they are one from there to the root.
	meet := bits.Len64(uint64(index ^ c.index))
	shared := c.any && meet < inner
	if !shared {
		meet = len(p)
	}
	known := c.nodes[meet]
	c.any = false
	c.nodes[0] = leaf
	c.climb(index, p, inner, 0, meet)
	if !shared || c.nodes[meet] != known || !slices.Equal(p[meet:], c.proof[meet:]) {
		c.climb(index, p, inner, meet, len(p))
		if c.nodes[len(p)] != c.root {
			return false
		}
	}
	c.any, c.index, c.proof = true, index, append(c.proof[:0], p...)
	return true
}

// climb computes the nodes after more than from hashes of the proof, up to to.
func (c *inclusionCheck) climb(index int64, p Proof, inner, from, to int) {
	for i := from; i < to; i++ {
		if i < inner && index>>i&1 == 0 {
			c.nodes[i+1] = NodeHash(c.nodes[i], p[i])
		} else {
			c.nodes[i+1] = NodeHash(p[i], c.nodes[i])
		}
	}
}
