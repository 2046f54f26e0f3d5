package notary

import (
	"context"
	"fmt"
	"math/bits"

	"audittrail/modules/ledger"
)

// frontier holds the roots of a log's largest complete subtrees, from the left, one for each bit of its size. The
// log's root is computed from it. Nobody can make other hashes with the same root. So appending to a frontier with
// the signed root proves consistency, without anything else of the past.
type frontier struct {
	size  int64
	nodes []ledger.Hash
}

// append adds a leaf. It calls visit, which may be nil, for each hash of tile level 1 and up that the leaf completes,
// with the hash's index in the level.
func (f *frontier) append(leaf ledger.Hash, visit func(level int, index int64, h ledger.Hash)) {
	height := 0
	for s := f.size; s&1 == 1; s >>= 1 {
		last := len(f.nodes) - 1
		leaf = ledger.NodeHash(f.nodes[last], leaf)
		f.nodes = f.nodes[:last]
		height++
		if visit != nil && height%ledger.TileHeight == 0 {
			visit(height/ledger.TileHeight, f.size>>height, leaf)
		}
	}
	f.nodes = append(f.nodes, leaf)
	f.size++
}

func (f *frontier) root() ledger.Hash {
	last := len(f.nodes) - 1
	if last < 0 {
		return ledger.EmptyRoot()
	}
	root := f.nodes[last]
	for i := last - 1; i >= 0; i-- {
		root = ledger.NodeHash(f.nodes[i], root)
	}
	return root
}

// storedFrontier reads the frontier at size from the stored tiles and leaves. The caller MUST compare its root with
// a signed one.
func storedFrontier(ctx context.Context, r ledger.Reader, size int64) (*frontier, error) {
	f := &frontier{size: size}
	for level := (bits.Len64(uint64(size)) - 1) / ledger.TileHeight; level >= 0 && size > 0; level-- {
		count := size >> (ledger.TileHeight * level)
		width := int(count % ledger.TileWidth)
		if width == 0 {
			continue
		}
		hashes, err := ledger.ReadTile(ctx, r, ledger.TileID{Level: level, Index: count / ledger.TileWidth}, width)
		if err != nil {
			return nil, err
		}
		var part frontier // over the tile's hashes: its subtrees are the log's
		for _, h := range hashes {
			part.append(h, nil)
		}
		f.nodes = append(f.nodes, part.nodes...)
	}
	return f, nil
}

// extend appends the stored leaves up to a size. It reads at most ledger.MaxLeaves at a time, which bounds memory.
func (f *frontier) extend(ctx context.Context, r ledger.Reader, to int64, visit func(level int, index int64, h ledger.Hash)) error {
	for f.size < to {
		step := ledger.Range{From: f.size, To: min(to, f.size+ledger.MaxLeaves)}
		leaves, err := r.Leaves(ctx, []ledger.Range{step})
		if err != nil {
			return err
		}
		if len(leaves) != 1 || int64(len(leaves[0])) != step.To-step.From {
			return fmt.Errorf("leaves %d to %d: %w", step.From, step.To, ledger.ErrIncomplete)
		}
		for _, leaf := range leaves[0] {
			f.append(leaf, visit)
		}
	}
	return nil
}

// readAhead reads more leaves than it is asked for, up to a size, for a caller that reads in small steps.
type readAhead struct {
	ledger.Reader
	to     int64
	from   int64 // of leaves
	leaves []ledger.Hash
}

// Leaves implements ledger.Reader.
func (r *readAhead) Leaves(ctx context.Context, ranges []ledger.Range) ([][]ledger.Hash, error) {
	want := ranges[0]
	if len(ranges) > 1 || want.To > r.to {
		return r.Reader.Leaves(ctx, ranges)
	}
	if want.From < r.from || want.To > r.from+int64(len(r.leaves)) {
		more := ledger.Range{From: want.From, To: min(r.to, want.From+ledger.MaxLeaves)}
		list, err := r.Reader.Leaves(ctx, []ledger.Range{more})
		if err != nil {
			return nil, err
		}
		if len(list) != 1 || int64(len(list[0])) != more.To-more.From { // some are missing, but perhaps not the wanted ones
			return r.Reader.Leaves(ctx, ranges)
		}
		r.from, r.leaves = more.From, list[0]
	}
	return [][]ledger.Hash{r.leaves[want.From-r.from : want.To-r.from]}, nil
}
