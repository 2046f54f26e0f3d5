package cache_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/rueidis"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/platform/cache"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a redis-server that a test has for itself.
type server struct {
	port    string
	command *exec.Cmd
}

func startServer(t *testing.T, port string, args ...string) *server {
	t.Helper()
	if _, err := exec.LookPath("redis-server"); err != nil {
		require.Empty(t, os.Getenv("CI"), "CI must have redis-server")
		t.Skip("there is no redis-server here")
	}
	if port == "" {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		_, port, err = net.SplitHostPort(l.Addr().String())
		require.NoError(t, err)
		require.NoError(t, l.Close())
	}
	s := &server{port: port, command: exec.Command("redis-server", append([]string{"--port", port, "--bind", "127.0.0.1", "--save", "", "--dir", t.TempDir()}, args...)...)}
	require.NoError(t, s.command.Start())
	t.Cleanup(s.kill)
	return s
}

func (s *server) kill() {
	_ = s.command.Process.Kill()
	_ = s.command.Wait()
}

// admin is a connection that does what nobody of ours does.
func (s *server) admin(t *testing.T, login string) rueidis.Client {
	t.Helper()
	var client rueidis.Client
	require.Eventually(t, func() bool {
		option, err := rueidis.ParseURL("redis://" + login + "127.0.0.1:" + s.port)
		if err != nil {
			return false
		}
		client, err = rueidis.NewClient(option)
		return err == nil
	}, time.Minute, 20*time.Millisecond)
	t.Cleanup(client.Close)
	return client
}

// connect returns what a process has of a Redis.
func connect(t *testing.T, url string) (*cache.Cache, *cache.Limit) {
	t.Helper()
	redis, err := cache.NewRedis(cache.RedisOptions{URL: url}, slog.New(slog.DiscardHandler), prometheus.NewRegistry())
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
	s := startServer(t, "", "--user", "audittrail", "on", ">secret", "~audittrail:*", "+@connection", "+@read", "+@write", "+@transaction", "+@scripting", "+time", "-@dangerous", "--user", "default", "off")
	url := "redis://audittrail:secret@127.0.0.1:" + s.port
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

// Without Redis, with one that hangs, is full or holds anything, nobody waits for it for long and nothing is lost.
func TestRedisFails(t *testing.T) {
	s := startServer(t, "", "--maxmemory", "3mb", "--maxmemory-policy", "noeviction")
	url := "redis://127.0.0.1:" + s.port
	c, limit := connect(t, url)
	keeps(t, c, "a", "1")

	// Full: writes are refused, reads go on.
	admin := s.admin(t, "")
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
	require.NoError(t, s.command.Process.Signal(syscall.SIGSTOP))
	require.Empty(t, c.Get(t.Context(), "tests", []string{"c"}))
	_, _, err = limit.Take(t.Context(), "alice", 1, 1)
	require.Error(t, err)
	require.NoError(t, s.command.Process.Signal(syscall.SIGCONT))
	require.NoError(t, admin.Do(t.Context(), admin.B().Flushall().Build()).Error())
	keeps(t, c, "d", "1")

	// Killed, and back.
	s.kill()
	require.Eventually(t, func() bool { return len(c.Get(t.Context(), "tests", []string{"d"})) == 0 }, time.Minute, 20*time.Millisecond)
	startServer(t, s.port)
	keeps(t, c, "e", "1")
}

func TestURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"": true, "redis://h": true, "rediss://u:p@h:6380/1": true, "http://h": false, "h:6379": false, "redis://u:hunter2@h:x": false,
	} {
		err := cache.RedisOptions{URL: url}.Validate()
		require.Equal(t, good, err == nil, url)
		if err != nil {
			require.NotContains(t, err.Error(), "hunter2")
		}
	}
	_, isTLS := cache.RedisOptions{URL: "rediss://h"}.Address()
	require.True(t, isTLS)
}
