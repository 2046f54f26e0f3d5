package ledger

import (
	"cmp"
	"context"
	"slices"

	"github.com/transparency-dev/merkle/compact"
)

// load gets the tiles that hold nodes, which MUST lie in the tree of the prover's size: from the cache,
// or from the reader in few calls.
func (p *Prover) load(ctx context.Context, nodes []compact.NodeID) (nodeSet, error) {
	set := nodeSet{}
	var missing []TileID
	for _, id := range nodes {
		tile, _, _ := locate(id)
		if _, known := set[tile]; known {
			continue
		}
		set[tile] = p.cached(tile)
		if set[tile] == nil {
			missing = append(missing, tile)
		}
	}
	slices.SortFunc(missing, func(a, b TileID) int {
		return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Index, b.Index))
	})
	for len(missing) > 0 {
		n := 1
		for n < len(missing) && n < MaxTiles && missing[n].Level == missing[0].Level {
			n++
		}
		if err := p.read(ctx, missing[:n], set); err != nil {
			return nil, err
		}
		missing = missing[n:]
	}
	return set, nil
}

// read reads tiles of one level, as wide as they are at the prover's size, into set and the cache.
func (p *Prover) read(ctx context.Context, ids []TileID, set nodeSet) error {
	widths := make([]int, len(ids))
	for i, id := range ids {
		widths[i] = id.WidthAt(p.size)
	}
	tiles, err := readTiles(ctx, p.r, ids, widths)
	if err != nil {
		return err
	}
	for i, id := range ids {
		set[id] = newPyramid(tiles[i])
		p.keep(id, set[id])
	}
	return nil
}

// cached finds a tile in either generation, and keeps it for another.
func (p *Prover) cached(id TileID) *pyramid {
	if tile := p.young[id]; tile != nil {
		return tile
	}
	tile := p.old[id]
	if tile != nil {
		p.keep(id, tile)
	}
	return tile
}

// keep puts a tile into the young generation. A full one becomes the old one: what was not asked for
// during two generations is forgotten.
func (p *Prover) keep(id TileID, tile *pyramid) {
	if len(p.young) >= cachedTiles {
		p.old, p.young = p.young, make(map[TileID]*pyramid, cachedTiles)
	}
	p.young[id] = tile
}
