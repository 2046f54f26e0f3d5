package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"audittrail/modules/ledger"
)

// Cache keeps bytes for a short time, also for other processes: see platform/cache. What it answers may be anything.
type Cache interface {
	Get(ctx context.Context, of string, keys []string) map[string][]byte
	Set(key string, value []byte)
}

// CachedTiles is what the cache is told that it keeps.
const CachedTiles = "tiles"

// tileCache keeps tiles that are whole. They never change, and every proof needs those of the upper levels. They are
// hashes, which everybody sees who sees a proof, so they are the same for each reader.
//
// Whoever can write to the cache must not be able to forge one: a value carries a MAC over its key. Its secret is made
// of the installation's id, which only the database's readers know; so two databases can share one Redis.
type tileCache struct {
	cache Cache // nil: nothing is kept

	mu     sync.Mutex
	secret []byte // nil until it was read
}

// By installation's one row.
const installationIDSQL = `SELECT id::text FROM installation`

// tilesOf returns the tiles that are kept, by their index in ids.
func (c *tileCache) tilesOf(ctx context.Context, secret []byte, log ledger.Log, ids []ledger.TileID) map[int][]ledger.Hash {
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

// keep keeps a tile that is whole.
func (c *tileCache) keep(secret []byte, log ledger.Log, id ledger.TileID, hashes []ledger.Hash) {
	if len(hashes) != ledger.TileWidth {
		return
	}
	key := tileKey(secret, log, id)
	value := ledger.AppendHashes(make([]byte, sha256.Size), hashes)
	copy(value, mac(secret, key, value[sha256.Size:]))
	c.cache.Set(key, value)
}

// tileKey names a tile of this installation. The first part is not the secret itself.
func tileKey(secret []byte, log ledger.Log, id ledger.TileID) string {
	return fmt.Sprintf("audittrail:%s:tile:%s:%d:%d", hex.EncodeToString(mac(secret, "installation", nil)[:8]), log, id.Level, id.Index)
}

func mac(secret []byte, key string, value []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(key))
	h.Write([]byte{0}) // which no key holds
	h.Write(value)
	return h.Sum(nil)
}

// secretOf returns the secret of the values' MAC; nil while it can't be read.
func (l *LedgerReader) secretOf(ctx context.Context) []byte {
	c := &l.reader.tiles
	if c.cache == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secret == nil {
		var id string
		err := l.with(ctx, "read installation", func(ctx context.Context, rows *Ledger) error {
			return rows.db.QueryRow(ctx, installationIDSQL).Scan(&id)
		})
		if err != nil {
			return nil
		}
		sum := sha256.Sum256([]byte("audittrail cache " + id))
		c.secret = sum[:]
	}
	return c.secret
}

// cachedTiles reads those tiles from rows that are not kept.
func (l *LedgerReader) cachedTiles(ctx context.Context, secret []byte, ids []ledger.TileID) ([][]ledger.Hash, error) {
	c, tiles := &l.reader.tiles, make([][]ledger.Hash, len(ids))
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
			c.keep(secret, l.log, ids[i], tiles[i])
		}
	}
	return tiles, nil
}
