package store

import (
	"context"
	"maps"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
)

type memory map[string][]byte

func (m memory) Get(context.Context, string, []string) map[string][]byte { return m }
func (m memory) Set(key string, value []byte)                            { m[key] = value }

// What others write to the cache is never taken for a tile.
func TestTilesThatAreForged(t *testing.T) {
	t.Parallel()
	kept := memory{}
	c := &cached{cache: kept}
	secret, other := []byte("of this installation"), []byte("of another one")
	id, neighbour := ledger.TileID{Level: 1, Index: 7}, ledger.TileID{Level: 1, Index: 8}
	tile := make([]ledger.Hash, ledger.TileWidth)
	for i := range tile {
		tile[i][0] = byte(i)
	}
	c.keepTile(secret, ledger.Events, id, tile[:255])
	require.Empty(t, kept, "a tile that still grows is not kept")
	c.keepTile(secret, ledger.Events, id, tile)
	require.Equal(t, map[int][]ledger.Hash{1: tile}, c.tilesOf(t.Context(), secret, ledger.Events, []ledger.TileID{neighbour, id}))
	require.Empty(t, c.tilesOf(t.Context(), other, ledger.Events, []ledger.TileID{id}))
	require.Empty(t, c.tilesOf(t.Context(), secret, ledger.Access, []ledger.TileID{id}))

	key := tileKey(secret, ledger.Events, id)
	good := kept[key]
	for _, bad := range [][]byte{nil, {}, []byte("junk"), good[:len(good)-1], append(append([]byte{}, good...), 0), flipped(good, 0), flipped(good, len(good)-1)} {
		forged := maps.Clone(kept)
		forged[key] = bad
		require.Empty(t, (&cached{cache: forged}).tilesOf(t.Context(), secret, ledger.Events, []ledger.TileID{id}))
	}
	kept[tileKey(secret, ledger.Events, neighbour)] = good
	require.Empty(t, c.tilesOf(t.Context(), secret, ledger.Events, []ledger.TileID{neighbour}), "a tile in another's place")
}

func flipped(b []byte, at int) []byte {
	b = append([]byte{}, b...)
	b[at] ^= 1
	return b
}
