package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"

	"audittrail/modules/ledger"
)

// Tiles are kept that are whole. They never change, and every proof needs those of the upper levels. They are hashes,
// which everybody sees who sees a proof, so they are the same for each reader.
//
// Whoever can write to the cache must not be able to forge one: a value carries a MAC over its key.

// tilesOf returns the tiles that are kept, by their index in ids.
func (c *cached) tilesOf(ctx context.Context, secret []byte, log ledger.Log, ids []ledger.TileID) map[int][]ledger.Hash {
	keys := make([]string, len(ids))
	for i, id := range ids {
		keys[i] = tileKey(secret, log, id)
	}
	kept := c.cache.Get(ctx, CachedTiles, keys)
	found := map[int][]ledger.Hash{}
	for i, key := range keys {
		value := kept[key]
		if len(value) != sha256.Size+ledger.TileWidth*ledger.HashSize || !hmac.Equal(value[:sha256.Size], mac(secret, key, value[sha256.Size:])) {
			continue
		}
		if hashes, ok := ledger.SplitHashes(value[sha256.Size:]); ok {
			found[i] = hashes
		}
	}
	return found
}

// keepTile keeps a tile that is whole.
func (c *cached) keepTile(secret []byte, log ledger.Log, id ledger.TileID, hashes []ledger.Hash) {
	if len(hashes) != ledger.TileWidth {
		return
	}
	key := tileKey(secret, log, id)
	value := ledger.AppendHashes(make([]byte, sha256.Size), hashes)
	copy(value, mac(secret, key, value[sha256.Size:]))
	c.cache.Set(key, value)
}

func tileKey(secret []byte, log ledger.Log, id ledger.TileID) string {
	return fmt.Sprintf("%stile:%s:%d:%d", keyspace(secret), log, id.Level, id.Index)
}

// cachedTiles reads those tiles from rows that are not kept.
func (l *LedgerReader) cachedTiles(ctx context.Context, secret []byte, ids []ledger.TileID) ([][]ledger.Hash, error) {
	c, tiles := &l.reader.cached, make([][]ledger.Hash, len(ids))
	kept := c.tilesOf(ctx, secret, l.log, ids)
	var missing []ledger.TileID
	for i, id := range ids {
		if tiles[i] = kept[i]; tiles[i] == nil {
			missing = append(missing, id)
		}
	}
	if len(missing) == 0 {
		return tiles, nil
	}
	read, err := l.readTiles(ctx, missing)
	if err != nil {
		return nil, err
	}
	for i, n := 0, 0; i < len(ids); i++ {
		if tiles[i] == nil {
			tiles[i], n = read[n], n+1
			c.keepTile(secret, l.log, ids[i], tiles[i])
		}
	}
	return tiles, nil
}
