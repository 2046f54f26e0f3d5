package ledger

import (
	"errors"
	"math"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// The shape of tiles (C2SP tlog-tiles): a tile holds the hashes of 256 neighbouring nodes of one height,
// and each hash of a level is the root over a whole tile of the level below. Level 0 is the leaves.
const (
	TileHeight = 8
	TileWidth  = 1 << TileHeight
)

// maxTileLevel is the highest level that a log of 2^63 entries has.
const maxTileLevel = 7

// TileID names a tile: its level, and its index from the left.
type TileID struct {
	Level int
	Index int64
}

// WidthAt is how many hashes the tile has in a log of size entries: 0 to 256.
func (id TileID) WidthAt(size int64) int {
	hashes := size >> (TileHeight * id.Level) // of the level
	if id.Index < 0 || id.Index > hashes/TileWidth {
		return 0
	}
	return int(min(hashes-id.Index*TileWidth, TileWidth))
}

// exists tells whether a log of 2^63 entries has the tile: products of its index do not overflow then.
func (id TileID) exists() bool {
	return id.Level >= 0 && id.Level <= maxTileLevel && id.Index >= 0 && id.Index <= math.MaxInt64>>(TileHeight*(id.Level+1))
}

// Path is what follows "tile/" in the tile's path: level, index and, where it is partial, its width.
// width is from 1 to 256.
func (id TileID) Path(width int) string {
	path := tlog.Tile{H: TileHeight, L: id.Level, N: id.Index, W: width}.Path()
	return strings.TrimPrefix(path, tilePrefix)
}

// tilePrefix begins the paths of x/mod's tiles, which name their height too.
const tilePrefix = "tile/8/"

var errTilePath = errors.New("is not the path of a tile, as 0/x001/234 or 1/005.p/17")

// ParseTilePath reads what Path writes, and no other spelling: a tile's caches must know it by one name.
func ParseTilePath(path string) (id TileID, width int, err error) {
	tile, err := tlog.ParseTilePath(tilePrefix + path)
	id = TileID{Level: tile.L, Index: tile.N}
	if err != nil || !id.exists() {
		return TileID{}, 0, errTilePath
	}
	return id, tile.W, nil
}

// pyramid is the nodes over a tile's hashes, up to its root if it is full: rows[r] are those that stand
// over 2^r hashes each.
type pyramid [TileHeight + 1][]Hash

// newPyramid computes the nodes over hashes, 256 at most. It keeps the slice.
func newPyramid(hashes []Hash) *pyramid {
	var p pyramid
	p[0] = hashes
	for r := 1; r <= TileHeight; r++ {
		below := p[r-1]
		if len(below) < 2 {
			break
		}
		row := make([]Hash, len(below)/2)
		for i := range row {
			row[i] = NodeHash(below[2*i], below[2*i+1])
		}
		p[r] = row
	}
	return &p
}

// fullRoot is the root over 256 hashes, which it overwrites.
func fullRoot(hashes []Hash) Hash {
	for n := len(hashes); n > 1; n /= 2 {
		for i := range n / 2 {
			hashes[i] = NodeHash(hashes[2*i], hashes[2*i+1])
		}
	}
	return hashes[0]
}
