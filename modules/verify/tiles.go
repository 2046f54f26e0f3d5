package verify

import (
	"context"
	"fmt"

	"audittrail/modules/ledger"
	"audittrail/modules/store"
)

// tiles compares the stored tiles of levels 1 and up with those that the leaves give.
type tiles struct {
	walk *walk
	edge [8][]ledger.Hash // the tile of each level that is not full yet
	full []madeTile
	// short is, of each level, the first tile that is stored in part only. What lies behind it must not be
	// stored then, since tiles are written in order.
	short [8]*shortTile
}

// shortTile is a tile of which only so many hashes are stored.
type shortTile struct {
	ledger.TileID
	reached int
}

// madeTile is a tile as the leaves give it.
type madeTile struct {
	ledger.TileID
	hashes []ledger.Hash

	parts   int  // of it that are stored
	reached int  // hashes in them, as far as they follow on each other
	broken  bool // they do not
}

// levels above this one would need 2^56 entries.
const topLevel = 7

// made gets each node that the tree completes.
func (t *tiles) made(height int, index int64, hash ledger.Hash) {
	level := height / ledger.TileHeight
	if height%ledger.TileHeight != 0 || level < 1 || level > topLevel || t.walk.instead != nil {
		return
	}
	t.edge[level] = append(t.edge[level], hash)
	if len(t.edge[level]) == ledger.TileWidth {
		t.full = append(t.full, madeTile{TileID: ledger.TileID{Level: level, Index: index / ledger.TileWidth}, hashes: t.edge[level]})
		t.edge[level] = nil
	}
}

// compare compares the full tiles, and with all also those that are not.
func (t *tiles) compare(ctx context.Context, all bool) error {
	if all {
		for level := 1; level <= topLevel; level++ {
			if n := len(t.edge[level]); n > 0 {
				index := t.walk.tree.size >> (ledger.TileHeight * level) / ledger.TileWidth
				t.full = append(t.full, madeTile{TileID: ledger.TileID{Level: level, Index: index}, hashes: t.edge[level]})
			}
		}
	}
	if len(t.full) == 0 {
		return nil
	}
	ids := make([]ledger.TileID, len(t.full))
	stored := make(map[ledger.TileID]*madeTile, len(t.full))
	for i := range t.full {
		ids[i] = t.full[i].TileID
		stored[ids[i]] = &t.full[i]
	}
	err := t.walk.view.TileParts(ctx, t.walk.log, ids, func(p store.TilePart) error {
		t.comparePart(stored[p.TileID], p)
		return nil
	})
	if err == nil {
		for i := range t.full {
			t.finish(&t.full[i])
		}
	}
	t.full = nil
	return t.walk.unread(err, Finding{Kind: TileAltered, Detail: "the tiles over the positions up to this one can't be read"}.at(t.walk.tree.size))
}

// comparePart compares a part of a tile; parts come in order.
func (t *tiles) comparePart(made *madeTile, p store.TilePart) {
	made.parts++
	if made.broken {
		return
	}
	if p.First != made.reached {
		made.broken = true
		t.report(made.TileID, min(p.First, made.reached), max(p.First, made.reached), "the tile's parts do not follow on each other")
		return
	}
	for i, h := range p.Hashes {
		if at := p.First + i; at < len(made.hashes) && made.hashes[at] != h {
			t.report(made.TileID, at, at+1, "the stored hash is not the one that the leaves give")
		}
	}
	made.reached += len(p.Hashes)
}

// finish looks at a tile once all of its parts were compared.
func (t *tiles) finish(made *madeTile) {
	if short := t.short[made.Level]; short != nil && made.parts > 0 {
		t.report(short.TileID, 0, ledger.TileWidth, "a part of the tile is gone, though tiles behind it are there")
		t.short[made.Level] = nil
	}
	if !made.broken && made.reached < len(made.hashes) && t.short[made.Level] == nil {
		t.short[made.Level] = &shortTile{made.TileID, made.reached}
	}
}

// lacking reports tiles that are not stored, though a checkpoint was signed over them: the notary writes
// them before it signs.
func (t *tiles) lacking() {
	for level, short := range t.short {
		if short == nil {
			continue
		}
		from := short.Index*ledger.TileWidth + int64(short.reached)
		if signed := t.walk.head.proven >> (ledger.TileHeight * level); from < signed {
			span := int64(1) << (ledger.TileHeight * level)
			t.walk.report(Finding{Kind: TileAltered, Detail: fmt.Sprintf(
				"tiles of level %d from %d/%d on are gone, or a part of them: they were written before the checkpoint over them was signed", level, level, short.Index)}.within(from*span, signed*span))
		}
	}
}

// report tells of hashes of a tile, and which positions they are over.
func (t *tiles) report(id ledger.TileID, from, to int, what string) {
	span := int64(1) << (ledger.TileHeight * id.Level)
	first := (id.Index*ledger.TileWidth + int64(from)) * span
	end := (id.Index*ledger.TileWidth + int64(to)) * span
	t.walk.report(Finding{Kind: TileAltered, Detail: fmt.Sprintf("tile %d/%d: %s", id.Level, id.Index, what)}.within(first, end))
}

// beyondKept bounds how many tiles are named that the log is too short for.
const beyondKept = 100

// beyond reports tiles of a log that was longer than this one is.
func (t *tiles) beyond(ctx context.Context) error {
	err := t.walk.view.TilePartsBeyond(ctx, t.walk.log, t.walk.head.total, beyondKept, func(p store.TilePart) error {
		t.walk.report(Finding{Kind: TileAltered, Detail: fmt.Sprintf(
			"tile %d/%d: the log is too short for it: there were more entries once, or somebody added to it", p.Level, p.Index)})
		return nil
	})
	return t.walk.unread(err, Finding{Kind: TileAltered, Detail: "the tiles behind the log's end can't be read"})
}
