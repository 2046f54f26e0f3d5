package store

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Cache keeps bytes for a short time, also for other processes: see platform/cache. What it answers may be anything.
type Cache interface {
	Get(ctx context.Context, of string, keys []string) map[string][]byte
	Set(key string, value []byte)
}

// What the cache is told that it keeps.
const (
	CachedTiles  = "tiles"
	CachedEvents = "events"
)

// cached is what is kept in a cache, and the secret by which it is told from what others wrote there. The secret is made
// of the installation's id, which only the database's readers know; so two databases can share one Redis. It is also made
// of when the primary was started, and of the database's number there: a restore changes one of them, so what was kept of
// a history that was taken back is not found any more. Only a restore into the database of a running server changes
// neither; what was kept is found for a minute then.
type cached struct {
	cache Cache // nil: nothing is kept

	mu     sync.Mutex
	secret []byte // nil until it was read
}

// incarnationSQL tells one start of one database from others. It reads the one row of installation.
const incarnationSQL = `SELECT concat_ws(' ', i.id, d.oid, extract(epoch FROM pg_postmaster_start_time()))
	FROM installation AS i, pg_catalog.pg_database AS d WHERE d.datname = current_database()`

// forget has the secret read anew: the server may have been started since.
func (c *cached) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.secret = nil
}

// cacheSecret returns the secret; nil where nothing is kept, and while it can't be read.
func (r *Reader) cacheSecret(ctx context.Context) []byte {
	c := &r.cached
	if c.cache == nil {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.secret == nil {
		var of string
		err := r.read(withoutSeat(ctx), "read installation", func(ctx context.Context, conn *pgx.Conn) error { // of the primary
			return conn.QueryRow(ctx, incarnationSQL).Scan(&of)
		})
		if err != nil {
			return nil
		}
		sum := sha256.Sum256([]byte("audittrail cache " + of))
		c.secret = sum[:]
	}
	return c.secret
}

// keyspace is the beginning of an installation's keys. It is not the secret itself.
func keyspace(secret []byte) string {
	return "audittrail:" + hex.EncodeToString(mac(secret, "installation", nil)[:8]) + ":"
}

func mac(secret []byte, key string, value []byte) []byte {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(key))
	h.Write([]byte{0}) // which no key holds
	h.Write(value)
	return h.Sum(nil)
}
