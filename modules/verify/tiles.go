package verify

import (
	"context"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store/audit"
)

// topLevel is the highest level that is compared: a level above it would need 2^64 entries.
const topLevel = 7

// tiles compares the stored tiles of levels 1 and up with those computed from the leaves.
type tiles struct {
	walk *walk
	edge [topLevel + 1][]ledger.Hash // the incomplete tile of each level
	full []*madeTile
	// gap is the first hash of each level that is not stored, if known says so. stored is the end of what is stored.
	gap, stored [topLevel + 1]int64
	known       [topLevel + 1]bool
}

// madeTile is a tile computed from the leaves.
type madeTile struct {
	ledger.TileID
	hashes []ledger.Hash
	stored int // how many hashes, from the first on, are stored
}

// made takes each node that the tree completes.
func (t *tiles) made(height int, index int64, hash ledger.Hash) {
	level := height / ledger.TileHeight
	if height%ledger.TileHeight != 0 || level < 1 || level > topLevel {
		return
	}
	t.edge[level] = append(t.edge[level], hash)
	if len(t.edge[level]) == ledger.TileWidth {
		t.cut(level, index/ledger.TileWidth)
	}
}

func (t *tiles) cut(level int, index int64) {
	t.full = append(t.full, &madeTile{TileID: ledger.TileID{Level: level, Index: index}, hashes: t.edge[level]})
	t.edge[level] = nil
}

// compare compares the full tiles, and if all is set, also the incomplete ones.
func (t *tiles) compare(ctx context.Context, all bool) error {
	for level := 1; all && level <= topLevel; level++ {
		if len(t.edge[level]) > 0 {
			t.cut(level, t.walk.tree.size>>(ledger.TileHeight*level)/ledger.TileWidth)
		}
	}
	if len(t.full) == 0 {
		return nil
	}
	ids := make([]ledger.TileID, len(t.full))
	made := make(map[ledger.TileID]*madeTile, len(t.full))
	for i, tile := range t.full {
		ids[i], made[tile.TileID] = tile.TileID, tile
	}
	err := t.walk.view.TileParts(ctx, t.walk.log, ids, func(p audit.TilePart) error {
		t.comparePart(made[p.TileID], p)
		return nil
	})
	for _, tile := range t.full {
		if err == nil && tile.stored < len(tile.hashes) && !t.known[tile.Level] {
			t.gap[tile.Level], t.known[tile.Level] = tile.Index*ledger.TileWidth+int64(tile.stored), true
		}
	}
	t.full = nil
	return t.walk.unread(err, Finding{Kind: TileAltered, Detail: "the tiles over the positions before this one can't be read"}.at(t.walk.tree.size))
}

// comparePart compares a part of a tile. Parts come in order.
func (t *tiles) comparePart(made *madeTile, p audit.TilePart) {
	end := p.First + len(p.Hashes)
	if p.First <= made.stored {
		made.stored = max(made.stored, end)
	}
	first := made.Index * ledger.TileWidth
	t.stored[made.Level] = max(t.stored[made.Level], first+int64(end))
	for i, h := range p.Hashes {
		if at := p.First + i; at >= 0 && at < len(made.hashes) && made.hashes[at] != h {
			t.report(made.Level, first+int64(at), first+int64(at)+1, fmt.Sprintf("tile %d/%d: the stored hash is not the one that the leaves give", made.Level, made.Index))
		}
	}
}

// finish compares the incomplete tiles, and reports tiles that are missing and tiles behind the log's end. The
// notary writes tiles in order, and before it signs.
func (t *tiles) finish(ctx context.Context) error {
	if err := t.compare(ctx, true); err != nil {
		return err
	}
	for level := 1; level <= topLevel; level++ {
		end := max(t.stored[level], t.walk.extent.proven>>(ledger.TileHeight*level))
		if t.known[level] && t.gap[level] < end {
			t.report(level, t.gap[level], end, fmt.Sprintf("tiles of level %d from %d/%d on are gone, or a part of them", level, level, t.gap[level]/ledger.TileWidth))
		}
	}
	err := t.walk.view.TilePartsBeyond(ctx, t.walk.log, t.walk.extent.total, beyondKept, func(p audit.TilePart) error {
		t.walk.report(Finding{Kind: TileAltered, Detail: fmt.Sprintf(
			"tile %d/%d: the log is too short for it: entries were removed, or the tile was added", p.Level, p.Index)})
		return nil
	})
	return t.walk.unread(err, Finding{Kind: TileAltered, Detail: "the tiles behind the log's end can't be read"})
}

// beyondKept bounds how many tiles behind the log's end are named.
const beyondKept = 100

// report reports the hashes [from, to) of a level, by the positions that they cover.
func (t *tiles) report(level int, from, to int64, what string) {
	span := int64(1) << (ledger.TileHeight * level)
	t.walk.report(Finding{Kind: TileAltered, Detail: what}.within(from*span, to*span))
}
