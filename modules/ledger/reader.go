package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
)

// MaxLeaves is how many leaf hashes are asked for in one call, over all its ranges (2 MiB), and MaxTiles
// how many tiles (512 KiB).
const (
	MaxLeaves = TileWidth * TileWidth
	MaxTiles  = 64
)

// Range is the positions from From up to To, without To.
type Range struct{ From, To int64 }

// Reader gives the stored hashes of one log: a database's rows. What it answers MUST be of one log, and
// hashes that it has answered once MUST NOT change.
type Reader interface {
	// Leaves reads the leaf hashes of each range, in the order of ranges: exactly To - From for each. It
	// is asked for MaxLeaves in all at most, and never for positions that are not below the log's size.
	Leaves(ctx context.Context, ranges []Range) ([][]Hash, error)

	// Tiles reads the stored hashes of tiles of level 1 and up, in the order of ids: of each tile the
	// hashes from its first on that are stored, 0 to 256. What is not stored is computed from the level
	// below, so an answer may always be shorter. It is asked for MaxTiles at most.
	Tiles(ctx context.Context, ids []TileID) ([][]Hash, error)
}

// ErrIncomplete says that hashes which the log must have are not stored: rows are missing or cut.
var ErrIncomplete = errors.New("the stored hashes are not as many as were asked for")

// ReadTile reads a tile as it is served: the first width of its hashes, computed where they are not
// stored. They MUST lie in the log: width is 1 to id.WidthAt of a size that the log has reached.
func ReadTile(ctx context.Context, r Reader, id TileID, width int) ([]Hash, error) {
	if !id.exists() || width < 1 || width > TileWidth {
		return nil, fmt.Errorf("there is no tile of level %d, index %d and width %d", id.Level, id.Index, width)
	}
	tiles, err := readTiles(ctx, r, []TileID{id}, []int{width})
	if err != nil {
		return nil, err
	}
	return tiles[0], nil
}

// readTiles reads the first widths[i] hashes of each tile ids[i]; MaxTiles tiles of one level at most.
func readTiles(ctx context.Context, r Reader, ids []TileID, widths []int) ([][]Hash, error) {
	if ids[0].Level == 0 {
		ranges := make([]Range, len(ids))
		for i, id := range ids {
			ranges[i] = Range{id.Index * TileWidth, id.Index*TileWidth + int64(widths[i])}
		}
		return readLeaves(ctx, r, ranges)
	}
	tiles, err := r.Tiles(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("read tiles: %w", err)
	}
	if len(tiles) != len(ids) {
		return nil, ErrIncomplete
	}
	for i, id := range ids {
		if len(tiles[i]) > TileWidth {
			return nil, ErrIncomplete
		}
		if tiles[i], err = fill(ctx, r, id, tiles[i], widths[i]); err != nil {
			return nil, err
		}
	}
	return tiles, nil
}

func readLeaves(ctx context.Context, r Reader, ranges []Range) ([][]Hash, error) {
	leaves, err := r.Leaves(ctx, ranges)
	if err != nil {
		return nil, fmt.Errorf("read leaf hashes: %w", err)
	}
	if len(leaves) != len(ranges) {
		return nil, ErrIncomplete
	}
	for i, g := range ranges {
		if int64(len(leaves[i])) != g.To-g.From {
			return nil, ErrIncomplete
		}
	}
	return leaves, nil
}

// fill computes the hashes of a tile, level 1 or up, that are missing behind the stored ones, from the
// level below.
func fill(ctx context.Context, r Reader, id TileID, stored []Hash, width int) ([]Hash, error) {
	if len(stored) >= width {
		return stored[:width], nil
	}
	hashes := slices.Grow(slices.Clip(stored), width-len(stored))
	// Each missing hash is the root over a whole tile of the level below. From leaves one call is enough;
	// from tiles it takes some, so that memory stays bounded.
	for len(hashes) < width {
		n := width - len(hashes)
		if id.Level > 1 {
			n = min(n, MaxTiles)
		}
		below := make([]TileID, n)
		for i := range below {
			below[i] = TileID{id.Level - 1, id.Index*TileWidth + int64(len(hashes)+i)}
		}
		roots, err := rootsOf(ctx, r, below)
		if err != nil {
			return nil, err
		}
		hashes = append(hashes, roots...)
	}
	return hashes, nil
}

// rootsOf computes the roots of neighbouring whole tiles: 256 of level 0, or MaxTiles, at most.
func rootsOf(ctx context.Context, r Reader, ids []TileID) ([]Hash, error) {
	roots := make([]Hash, len(ids))
	if ids[0].Level == 0 {
		from := ids[0].Index * TileWidth
		leaves, err := readLeaves(ctx, r, []Range{{from, from + int64(len(ids))*TileWidth}})
		if err != nil {
			return nil, err
		}
		leaves[0] = slices.Clone(leaves[0]) // the reader may keep its own
		for i := range roots {
			roots[i] = fullRoot(leaves[0][i*TileWidth : (i+1)*TileWidth])
		}
		return roots, nil
	}
	widths := make([]int, len(ids))
	for i := range widths {
		widths[i] = TileWidth
	}
	tiles, err := readTiles(ctx, r, ids, widths)
	if err != nil {
		return nil, err
	}
	for i := range roots {
		roots[i] = fullRoot(slices.Clone(tiles[i]))
	}
	return roots, nil
}
