package app

import (
	"context"
	"sync"

	"audittrail/modules/store"
	"audittrail/platform/cache"
	"audittrail/platform/httpserver"
)

// shared is what the API's processes share by Redis; without one each has a cache of its own, and counts for itself.
type shared struct {
	redis *cache.Redis // nil where there is none
	cache *cache.Cache
	limit httpserver.SharedLimit // nil where there is none
}

// newShared opens no connection.
func newShared(p *parts) (s shared, err error) {
	if p.cfg.Redis.URL != "" {
		if s.redis, err = cache.NewRedis(p.cfg.Redis, p.log, p.metrics); err != nil {
			return s, err
		}
		s.limit = cache.NewLimit(s.redis)
	}
	if s.cache, err = cache.New(s.redis, p.metrics); err == nil {
		s.cache.Announce(store.CachedTiles)
		s.cache.Announce(store.CachedEvents)
	}
	return s, err
}

// run keeps the connection up, and the cache tidy, until ctx is cancelled.
func (s shared) run(ctx context.Context, running *sync.WaitGroup) {
	if s.redis != nil {
		running.Go(func() { s.redis.Run(ctx) })
	}
	running.Go(func() { s.cache.Run(ctx) })
}
