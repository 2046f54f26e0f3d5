package ledger

import (
	"context"
	"fmt"
	"slices"

	"github.com/transparency-dev/merkle/compact"
	"github.com/transparency-dev/merkle/proof"
)

// MaxProof is how many hashes a proof has at most: no log of 2^63 entries needs more.
const MaxProof = 64

// Proof is the hashes of an inclusion or a consistency proof, as RFC 6962 sections 2.1.1 and 2.1.2 order
// them: from the leaves up.
type Proof []Hash

// cachedTiles is how many tiles each of a prover's two generations holds: 4 MiB.
const cachedTiles = 256

// inclusionStep is how many leaves are proven with one reading of tiles.
const inclusionStep = 512

// Prover computes the root and the proofs of one log at one size. It keeps the tiles that it read last,
// 8 MiB at most, so that many proofs cost little more than their own leaves' tiles. It MUST NOT be used
// by two goroutines at once.
type Prover struct {
	r          Reader
	size       int64
	young, old map[TileID]*pyramid
}

// NewProver makes a prover for the log at size, which MUST NOT be beyond what r has.
func NewProver(r Reader, size int64) (*Prover, error) {
	if size < 0 {
		return nil, fmt.Errorf("a log cannot have the size %d", size)
	}
	return &Prover{r: r, size: size, young: map[TileID]*pyramid{}}, nil
}

// Size is the size that roots and proofs are for.
func (p *Prover) Size() int64 { return p.size }

// Root is the root at the prover's size.
func (p *Prover) Root(ctx context.Context) (Hash, error) {
	if p.size == 0 {
		return EmptyRoot(), nil
	}
	ids := compact.RangeNodes(0, uint64(p.size), nil) // from the left: largest first
	nodes, err := p.load(ctx, ids)
	if err != nil {
		return Hash{}, err
	}
	slices.Reverse(ids)
	root := nodes.hash(ids[0])
	for _, id := range ids[1:] {
		root = NodeHash(nodes.hash(id), root)
	}
	return root, nil
}

// Inclusion proves leaves: one proof for each index, in their order. Each MUST be from 0 to below the
// prover's size.
func (p *Prover) Inclusion(ctx context.Context, indexes ...int64) ([]Proof, error) {
	out := make([]Proof, 0, len(indexes))
	for step := range slices.Chunk(indexes, inclusionStep) {
		plans := make([]proof.Nodes, len(step))
		var ids []compact.NodeID
		for i, index := range step {
			if index < 0 || index >= p.size {
				return nil, fmt.Errorf("a log of size %d has no entry %d", p.size, index)
			}
			plan, err := proof.Inclusion(uint64(index), uint64(p.size))
			if err != nil {
				return nil, err
			}
			plans[i] = plan
			ids = append(ids, plan.IDs...)
		}
		nodes, err := p.load(ctx, ids)
		if err != nil {
			return nil, err
		}
		for _, plan := range plans {
			made, err := nodes.proof(plan)
			if err != nil {
				return nil, err
			}
			out = append(out, made)
		}
	}
	return out, nil
}

// Consistency proves that the log at the prover's size is the log at size from, and more. from is 1 to
// the prover's size: RFC 6962 knows no proof from an empty log, which anything would follow.
func (p *Prover) Consistency(ctx context.Context, from int64) (Proof, error) {
	if from < 1 || from > p.size {
		return nil, fmt.Errorf("there is no consistency proof from size %d to %d", from, p.size)
	}
	plan, err := proof.Consistency(uint64(from), uint64(p.size))
	if err != nil {
		return nil, err
	}
	nodes, err := p.load(ctx, plan.IDs)
	if err != nil {
		return nil, err
	}
	return nodes.proof(plan)
}

// nodeSet is the tiles that hold the nodes of one request.
type nodeSet map[TileID]*pyramid

// hash is a node's hash. Its tile MUST have been loaded.
func (s nodeSet) hash(id compact.NodeID) Hash {
	tile, row, index := locate(id)
	return s[tile][row][index]
}

// proof puts a proof together.
func (s nodeSet) proof(plan proof.Nodes) (Proof, error) {
	parts := make([][]byte, len(plan.IDs))
	for i, id := range plan.IDs {
		h := s.hash(id)
		parts[i] = h[:]
	}
	parts, err := plan.Rehash(parts, func(left, right []byte) []byte {
		h := NodeHash(Hash(left), Hash(right))
		return h[:]
	})
	if err != nil {
		return nil, err
	}
	out := make(Proof, len(parts))
	for i, h := range parts {
		out[i] = Hash(h)
	}
	return out, nil
}

// locate finds a node: its tile, the row of the tile's pyramid, and the place in the row.
func locate(id compact.NodeID) (tile TileID, row, index int) {
	row = int(id.Level) % TileHeight
	first := id.Index << row // the first of the tile level's hashes below the node
	tile = TileID{int(id.Level) / TileHeight, int64(first / TileWidth)}
	return tile, row, int(first%TileWidth) >> row
}

// AppendJSON appends the proof as bundles and the API have it: an array of hashes in base64.
func (p Proof) AppendJSON(dst []byte) []byte {
	dst = append(dst, '[')
	for i, h := range p {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, '"'), h.String()...), '"')
	}
	return append(dst, ']')
}
