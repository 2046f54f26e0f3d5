package ledger

import (
	"context"
	"fmt"
	"slices"
)

// TilePart is a run of new hashes within one tile of level 1 or up: they follow on the first Offset
// hashes of the tile, which are stored already.
type TilePart struct {
	Tile   TileID
	Offset int
	Hashes []Hash
}

// BuildTiles makes the hashes of level 1 and up that a log gains when it grows from one size to another,
// in steps of 65,536 entries at most, so that a log that fell behind catches up in bounded memory. from
// is the size that earlier builds reached, 0 for none.
//
// write gets the parts of one step, lower levels first, and the size that is reached with them. It MUST
// store them all or none; it MAY get no parts, since a level 1 hash comes with each 256th entry only.
// When it fails, so does BuildTiles, which is called again later from the last size reached. Parts stand
// in memory that is not used again.
func BuildTiles(ctx context.Context, r Reader, from, to int64, write func(ctx context.Context, size int64, parts []TilePart) error) error {
	if from < 0 || to < from {
		return fmt.Errorf("a log cannot grow from size %d to %d", from, to)
	}
	b, err := newBuilder(ctx, r, from)
	if err != nil {
		return err
	}
	for b.size < to {
		end := min(to, (b.size/MaxLeaves+1)*MaxLeaves)
		parts, err := b.step(ctx, end)
		if err != nil {
			return err
		}
		if err := write(ctx, end, parts); err != nil {
			return fmt.Errorf("write tiles of size %d: %w", end, err)
		}
	}
	return nil
}

// builder is the right edge of the tree: of each level from 1 on the hashes of the tile that is not full
// yet. It never reads again what it made, so the reader need not see what write has stored.
type builder struct {
	r    Reader
	size int64
	edge [maxTileLevel + 1][]Hash
}

func newBuilder(ctx context.Context, r Reader, size int64) (*builder, error) {
	b := &builder{r: r, size: size}
	for level := 1; level <= maxTileLevel; level++ {
		count := size >> (TileHeight * level)
		width := int(count % TileWidth)
		if width == 0 {
			continue
		}
		hashes, err := ReadTile(ctx, r, TileID{level, count / TileWidth}, width)
		if err != nil {
			return nil, err
		}
		b.edge[level] = slices.Clone(hashes)
	}
	return b, nil
}

// step goes on to a size that lies within the same 65,536 entries, or at their end.
func (b *builder) step(ctx context.Context, end int64) ([]TilePart, error) {
	from := b.size
	b.size = end
	if from/TileWidth == end/TileWidth {
		return nil, nil
	}
	var below []TileID
	for i := from / TileWidth; i < end/TileWidth; i++ {
		below = append(below, TileID{0, i})
	}
	hashes, err := rootsOf(ctx, b.r, below)
	if err != nil {
		return nil, err
	}
	var parts []TilePart
	for level := 1; level <= maxTileLevel; level++ {
		count := from >> (TileHeight * level)
		parts = append(parts, TilePart{TileID{level, count / TileWidth}, int(count % TileWidth), hashes})
		b.edge[level] = append(b.edge[level], hashes...)
		if len(b.edge[level]) < TileWidth {
			break
		}
		hashes = []Hash{fullRoot(b.edge[level])}
		b.edge[level] = nil
	}
	return parts, nil
}
