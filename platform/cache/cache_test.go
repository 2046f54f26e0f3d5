package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/platform/cache"
	"audittrail/platform/cache/cachetest"
)

// What rueidis waits a second with before it looks at a connection again is not ours to end, and ends by itself.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/redis/rueidis.(*call).DelayDo.func1"))
}

// connect returns what a process has of a Redis.
func connect(t *testing.T, url string) (*cache.Cache, *cache.Limit) {
	t.Helper()
	return connectBy(t, cache.RedisOptions{URL: url}, prometheus.NewRegistry())
}

func connectBy(t *testing.T, o cache.RedisOptions, metrics *prometheus.Registry) (*cache.Cache, *cache.Limit) {
	t.Helper()
	redis, err := cache.NewRedis(o, slog.New(slog.DiscardHandler), metrics)
	require.NoError(t, err)
	c, err := cache.New(redis, prometheus.NewRegistry())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { redis.Run(ctx) })
	running.Go(func() { c.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return c, cache.NewLimit(redis)
}

func keeps(t *testing.T, c *cache.Cache, key, value string) {
	t.Helper()
	require.Eventually(t, func() bool {
		c.Set(key, []byte(value)) // again, since one that Redis did not take is dropped
		return string(c.Get(t.Context(), "tests", []string{key, key + "-none"})[key]) == value
	}, time.Minute, 20*time.Millisecond)
}

func TestACacheInThisProcess(t *testing.T) {
	c, err := cache.New(nil, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer c.Run(ctx) // until cancel
	defer cancel()
	c.Set("a", []byte("1"))
	require.Equal(t, map[string][]byte{"a": []byte("1")}, c.Get(t.Context(), "tests", []string{"a", "b"}))
}

func TestProcessesShareRedis(t *testing.T) {
	s := cachetest.Start(t, "", login()...)
	url := "redis://audittrail:secret@127.0.0.1:" + s.Port
	first, firstLimit := connect(t, url)
	second, secondLimit := connect(t, url)
	keeps(t, first, "audittrail:x", "1")
	require.Eventually(t, func() bool { return len(second.Get(t.Context(), "tests", []string{"audittrail:x"})) == 1 }, time.Minute, 20*time.Millisecond)
	keeps(t, first, "audittrail:x", "2") // the other process's near copy ends with the change
	require.Eventually(t, func() bool {
		return string(second.Get(t.Context(), "tests", []string{"audittrail:x"})["audittrail:x"]) == "2"
	}, time.Minute, 20*time.Millisecond)

	var allowed int
	const slow = 1e-6 // tokens a second: none comes back during a test
	for i := range 10 {
		limit := []*cache.Limit{firstLimit, secondLimit}[i%2]
		require.Eventually(t, func() bool {
			_, ok, err := limit.Take(t.Context(), "alice", slow, 4)
			if ok {
				allowed++
			}
			return err == nil
		}, time.Minute, 20*time.Millisecond)
	}
	// An answer that came too late may have taken a token that nobody got.
	require.LessOrEqual(t, allowed, 4, "both count the same requests")
	require.Positive(t, allowed)
	left, _, err := firstLimit.Take(t.Context(), "bob", slow, 4)
	if err == nil {
		require.InDelta(t, 3, left, 0.1, "another has a bucket of its own")
	}
}

// What somebody else wrote into a bucket refuses nobody.
func TestBucketsThatHoldAnything(t *testing.T) {
	s := cachetest.Start(t, "")
	_, limit := connect(t, "redis://127.0.0.1:"+s.Port)
	admin := s.Admin(t, "")
	take := func() (left float64, ok bool) {
		require.Eventually(t, func() bool {
			var err error
			left, ok, err = limit.Take(t.Context(), "alice", 1, 4)
			return err == nil
		}, time.Minute, 20*time.Millisecond)
		return left, ok
	}
	_, ok := take()
	require.True(t, ok)
	keys, err := admin.Do(t.Context(), admin.B().Keys().Pattern("audittrail:limit:*").Build()).AsStrSlice()
	require.NoError(t, err)
	require.Len(t, keys, 1)
	for _, junk := range [][2]string{{"nan", "0"}, {"-1e9", "0"}, {"1e9", "0"}, {"x", "y"}, {"0", "1e12"}, {"0", "nan"}, {"0", "inf"}} {
		require.NoError(t, admin.Do(t.Context(), admin.B().Hset().Key(keys[0]).FieldValue().FieldValue("tokens", junk[0]).FieldValue("at", junk[1]).Build()).Error())
		left, ok := take()
		require.True(t, ok, junk)
		require.InDelta(t, 3, left, 0.1, junk)
	}
	require.NoError(t, admin.Do(t.Context(), admin.B().Hdel().Key(keys[0]).Field("at").Build()).Error())
	_, ok = take()
	require.True(t, ok)
}

// Without Redis, with one that hangs, is full or holds anything, nobody waits for it for long and nothing is lost.
func TestRedisFails(t *testing.T) {
	s := cachetest.Start(t, "", "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
	url := "redis://127.0.0.1:" + s.Port
	c, limit := connect(t, url)
	keeps(t, c, "a", "1")

	// Full: writes are refused, reads go on.
	admin := s.Admin(t, "")
	big := strings.Repeat("x", 100<<10)
	for i := 0; ; i++ {
		if admin.Do(t.Context(), admin.B().Set().Key(fmt.Sprint("fill", i)).Value(big).Build()).Error() != nil {
			break
		}
	}
	c.Set("b", []byte(big))
	_, _, err := limit.Take(t.Context(), "alice", 1, 1)
	require.Error(t, err, "the caller counts by itself")
	require.NoError(t, admin.Do(t.Context(), admin.B().Flushall().Build()).Error())

	// Garbage: of another type, or not what was written.
	require.NoError(t, admin.Do(t.Context(), admin.B().Lpush().Key("a").Element("junk").Build()).Error())
	require.Eventually(t, func() bool { return len(c.Get(t.Context(), "tests", []string{"a"})) == 0 }, time.Minute, 20*time.Millisecond)

	// Frozen: the kernel still takes what is sent.
	s.Freeze(t)
	require.Empty(t, c.Get(t.Context(), "tests", []string{"c"}))
	_, _, err = limit.Take(t.Context(), "alice", 1, 1)
	require.Error(t, err)
	s.Thaw(t)
	require.NoError(t, admin.Do(t.Context(), admin.B().Flushall().Build()).Error())
	keeps(t, c, "d", "1")

	// Killed, and back.
	s.Kill()
	require.Eventually(t, func() bool { return len(c.Get(t.Context(), "tests", []string{"d"})) == 0 }, time.Minute, 20*time.Millisecond)
	cachetest.Start(t, s.Port)
	keeps(t, c, "e", "1")
}

func TestRedisOptions(t *testing.T) {
	for url, good := range map[string]bool{
		"": true, "redis://h": true, "rediss://u:p@h:6380/1": true, "http://h": false, "h:6379": false, "redis://u:hunter2@h:x": false,
		"rediss://h?skip_verify=true": false, "rediss://h?skip_verify": false, "rediss://h?skip_verify=false": true,
	} {
		err := cache.RedisOptions{URL: url}.Validate()
		require.Equal(t, good, err == nil, url)
		if err != nil {
			require.NotContains(t, err.Error(), "hunter2")
		}
	}
	require.NoError(t, cache.RedisOptions{URL: "rediss://h", CA: "ca.pem"}.Validate())
	require.ErrorContains(t, cache.RedisOptions{URL: "redis://h", CA: "ca.pem"}.Validate(), "ca")
	require.ErrorContains(t, cache.RedisOptions{CA: "ca.pem"}.Validate(), "ca")
	_, isTLS := cache.RedisOptions{URL: "rediss://h"}.Address()
	require.True(t, isTLS)
}
