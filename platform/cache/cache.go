package cache

import (
	"context"
	"fmt"
	"time"

	"github.com/maypok86/otter/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
)

const (
	// keepFor is how long anything is kept. What never changes may still be taken back, by a restore of the database.
	keepFor = time.Minute

	// memory is how many bytes are kept in this process where there is no Redis.
	memory = 16 << 20

	// maxWaiting is how many values wait to be written to Redis; more are dropped.
	maxWaiting = 256
)

// Cache keeps bytes by their keys, for a minute at most. It is safe for concurrent use.
type Cache struct {
	local    *otter.Cache[string, []byte] // nil where there is Redis
	redis    *Redis
	waiting  chan entry // to be written to Redis
	requests *prometheus.CounterVec
}

type entry struct {
	key   string
	value []byte
}

// New returns a cache in Redis, or in this process where redis is nil.
func New(redis *Redis, metrics prometheus.Registerer) (*Cache, error) {
	c := &Cache{redis: redis, waiting: make(chan entry, maxWaiting), requests: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "audittrail_cache_requests_total",
		Help: "Keys that the cache was asked for, by what they are of, and whether they were there.",
	}, []string{"of", "result"})}
	if metrics != nil {
		if err := metrics.Register(c.requests); err != nil {
			return nil, fmt.Errorf("cache: %w", err)
		}
	}
	if redis != nil {
		return c, nil
	}
	local, err := otter.New(&otter.Options[string, []byte]{
		MaximumWeight:    memory,
		Weigher:          func(key string, value []byte) uint32 { return uint32(100 + len(key) + len(value)) },
		ExpiryCalculator: otter.ExpiryWriting[string, []byte](keepFor),
	})
	if err != nil {
		return nil, fmt.Errorf("cache: %w", err)
	}
	c.local = local
	return c, nil
}

// Announce has the metric of a kind of keys be there from the start.
func (c *Cache) Announce(of string) {
	for _, result := range []string{"hit", "miss", "away"} {
		c.requests.WithLabelValues(of, result)
	}
}

// Run writes to Redis, or drops what is old, until ctx is cancelled.
func (c *Cache) Run(ctx context.Context) {
	if c.local != nil {
		<-ctx.Done()
		c.local.StopAllGoroutines()
		return
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-c.waiting:
			_ = c.redis.use(ctx, func(ctx context.Context, client rueidis.Client) error { // what is not written is a miss
				return client.Do(ctx, client.B().Set().Key(e.key).Value(rueidis.BinaryString(e.value)).Px(keepFor).Build()).Error()
			})
		}
	}
}

// Get returns the values of those keys that are there, within 50 ms. Values may be anything that somebody wrote to
// Redis. They MUST NOT be changed.
func (c *Cache) Get(ctx context.Context, of string, keys []string) map[string][]byte {
	found := make(map[string][]byte, len(keys))
	if c.local != nil {
		for _, key := range keys {
			if value, ok := c.local.GetIfPresent(key); ok {
				found[key] = value
			}
		}
	} else if err := c.redis.use(ctx, func(ctx context.Context, client rueidis.Client) error {
		messages, err := rueidis.MGetCache(client, ctx, keepFor, keys)
		for key, message := range messages {
			if value, err := message.AsBytes(); err == nil {
				found[key] = value
			}
		}
		return err
	}); err != nil {
		c.requests.WithLabelValues(of, "away").Add(float64(len(keys)))
		return nil
	}
	c.requests.WithLabelValues(of, "hit").Add(float64(len(found)))
	c.requests.WithLabelValues(of, "miss").Add(float64(len(keys) - len(found)))
	return found
}

// Set keeps a value, if it can. It does not wait. The value MUST NOT be changed afterwards.
func (c *Cache) Set(key string, value []byte) {
	if c.local != nil {
		c.local.Set(key, value)
		return
	}
	select {
	case c.waiting <- entry{key, value}:
	default:
	}
}
