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
	full []madeTile
	gap  [topLevel + 1]int64 // one more than the first hash of each level that is not stored; 0 if there is none
}

// madeTile is a tile computed from the leaves.
type madeTile struct {
	ledger.TileID
	hashes []ledger.Hash
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
	t.full = append(t.full, madeTile{ledger.TileID{Level: level, Index: index}, t.edge[level]})
	t.edge[level] = nil
}

// compare compares the full tiles with their stored parts. The parts of a tile are disjoint, and written in order.
func (t *tiles) compare(ctx context.Context) error {
	if len(t.full) == 0 {
		return nil
	}
	ids := make([]ledger.TileID, len(t.full))
	for i, tile := range t.full {
		ids[i] = tile.TileID
	}
	parts := map[ledger.TileID][]audit.TilePart{}
	err := t.walk.view.TileParts(ctx, t.walk.log, ids, func(p audit.TilePart) {
		t.walk.extent.seen["ledger_tiles"]++
		parts[p.TileID] = append(parts[p.TileID], p)
	})
	for _, tile := range t.full {
		if err == nil {
			t.compareTile(tile, parts[tile.TileID])
		}
	}
	t.full = nil
	return t.walk.unread(err, "ledger_tiles", Finding{Kind: TileAltered, Detail: "the tiles over the positions before this one can't be read"}.at(t.walk.tree.size))
}

func (t *tiles) compareTile(made madeTile, parts []audit.TilePart) {
	first, stored := made.Index*ledger.TileWidth, 0
	for _, p := range parts {
		end, most := p.First+len(p.Hashes), len(made.hashes)
		if t.walk.tree.size < t.walk.extent.total { // behind a gap of the log there are hashes that can't be computed
			most = ledger.TileWidth
		}
		if p.Odd || p.First < 0 || end > most {
			t.report(made.TileID, first, first+1, "a part of it is of a place or length that no part is of")
			continue
		}
		if p.First <= stored {
			stored = max(stored, end)
		}
		for i, h := range p.Hashes {
			if at := p.First + i; at < len(made.hashes) && made.hashes[at] != h {
				t.report(made.TileID, first+int64(at), first+int64(at)+1, "the stored hash is not the one that the leaves give")
			}
		}
	}
	if stored < len(made.hashes) && t.gap[made.Level] == 0 {
		t.gap[made.Level] = first + int64(stored) + 1
	}
}

// finish compares the incomplete tiles, and reports tiles that are missing. The notary writes tiles in order, and
// before it signs.
func (t *tiles) finish(ctx context.Context) error {
	for level := range t.edge {
		if len(t.edge[level]) > 0 {
			t.cut(level, t.walk.tree.size>>(ledger.TileHeight*level)/ledger.TileWidth)
		}
	}
	if err := t.compare(ctx); err != nil {
		return err
	}
	for level, gap := range t.gap {
		if end := t.walk.extent.proven >> (ledger.TileHeight * level); gap > 0 && gap <= end {
			t.report(ledger.TileID{Level: level, Index: (gap - 1) / ledger.TileWidth}, gap-1, end, "it is gone, or a part of it, and maybe tiles behind it")
		}
	}
	if t.walk.tree.size < t.walk.extent.total { // behind a gap no tile is looked for
		t.walk.missed("ledger_tiles")
	}
	return nil
}

// report reports the hashes [from, to) of the level of a tile, by the positions that they cover.
func (t *tiles) report(tile ledger.TileID, from, to int64, what string) {
	span := int64(1) << (ledger.TileHeight * tile.Level)
	t.walk.report(Finding{Kind: TileAltered, Detail: fmt.Sprintf("tile %d/%d: %s", tile.Level, tile.Index, what)}.within(from*span, to*span))
}
