package benchapi

import (
	"context"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/bench/internal/benchdb"
	"audittrail/bench/internal/benchingest"
	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/cache"
	"audittrail/platform/cache/cachetest"
	"audittrail/platform/postgres"
)

// BenchmarkCachedEvent weighs a cache of events by their ids: what an event costs from PostgreSQL, and from the cache of
// a process or in Redis, 16 at once, in CPU time of this process and of the server.
//
//	go test ./bench/internal/benchapi -run '^$' -bench CachedEvent -benchtime 20000x
//
// far, near, miss and set are the cache alone, with values of a kilobyte: a hit in Redis, one in the copy that this
// process keeps of what it read there, a key that is not there, and a value that is written.
func BenchmarkCachedEvent(b *testing.B) {
	const events, workers = 20_000, 16
	server, err := benchdb.Start(b.Context(), map[string]string{"autovacuum": "off", "shared_buffers": "256MB"})
	require.NoError(b, err)
	defer func() { require.NoError(b, server.Close()) }()
	filled, err := Fill(b.Context(), server, benchdb.Orders(events), events, time.Now())
	require.NoError(b, err)
	conn, err := pgx.Connect(b.Context(), filled.URL)
	require.NoError(b, err)
	defer conn.Close(context.WithoutCancel(b.Context())) //nolint:errcheck // nothing is lost with it
	sampled, err := Sample(b.Context(), conn, events, 2000)
	require.NoError(b, err)
	pool, err := postgres.Open(b.Context(), readingPool(filled.URL))
	require.NoError(b, err)
	defer pool.Close()
	reader := store.NewReader(store.ReaderOptions{Pool: pool})

	redis := cachetest.Start(b, "")
	client := redis.Admin(b, "")
	shared, stop := connect(b, redis.Port)
	defer stop()
	value := strings.Repeat("x", 1<<10)
	for i := range 2000 {
		require.NoError(b, client.Do(b.Context(), client.B().Set().Key("far"+strconv.Itoa(i)).Value(value).Build()).Error())
	}
	ids := make([]event.ID, len(sampled))
	for i, one := range sampled {
		ids[i], err = event.ParseID(one.ID)
		require.NoError(b, err)
	}

	local, err := cache.New(nil, nil)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(b.Context())
	defer local.Run(ctx) // until cancel
	defer cancel()
	withProcess := store.NewReader(store.ReaderOptions{Pool: pool, Cache: local})
	withRedis := store.NewReader(store.ReaderOptions{Pool: pool, Cache: shared})

	var unique atomic.Int64
	for _, one := range []struct {
		name   string
		server int
		do     func(ctx context.Context, i int) error
	}{
		{"postgres", benchingest.Postmaster(conn), func(ctx context.Context, i int) error {
			_, err := reader.Event(ctx, ids[i%len(ids)])
			return err
		}},
		{"process", benchingest.Postmaster(conn), func(ctx context.Context, i int) error {
			_, err := withProcess.Event(ctx, ids[i%len(ids)])
			return err
		}},
		{"redis", redis.PID(), func(ctx context.Context, i int) error {
			_, err := withRedis.Event(ctx, ids[i%len(ids)])
			return err
		}},
		{"far", redis.PID(), func(ctx context.Context, i int) error {
			return client.Do(ctx, client.B().Get().Key("far"+strconv.Itoa(i%2000)).Build()).Error()
		}},
		{"near", redis.PID(), func(ctx context.Context, i int) error {
			shared.Get(ctx, "tests", []string{"far" + strconv.Itoa(i%2000)})
			return nil
		}},
		{"miss", redis.PID(), func(ctx context.Context, _ int) error {
			shared.Get(ctx, "tests", []string{"none" + strconv.FormatInt(unique.Add(1), 10)})
			return nil
		}},
		{"set", redis.PID(), func(ctx context.Context, _ int) error {
			return client.Do(ctx, client.B().Set().Key("set"+strconv.FormatInt(unique.Add(1), 10)).Value(value).PxMilliseconds(60_000).Build()).Error()
		}},
	} {
		b.Run(one.name, func(b *testing.B) {
			for i := range 2000 { // warm
				require.NoError(b, one.do(b.Context(), i))
			}
			own, servers := benchingest.CPUTime(os.Getpid()), benchingest.FamilyTime(one.server)
			b.ResetTimer()
			var running sync.WaitGroup
			var next atomic.Int64
			for range workers {
				running.Go(func() {
					for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
						if err := one.do(b.Context(), int(i)); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			running.Wait()
			b.StopTimer()
			each := 1e6 / float64(b.N)
			b.ReportMetric((benchingest.CPUTime(os.Getpid())-own)*each, "own-µs")
			b.ReportMetric((benchingest.FamilyTime(one.server)-servers)*each, "server-µs")
		})
	}
}

// connect returns a cache in Redis that answers.
func connect(b *testing.B, port string) (shared *cache.Cache, stop func()) {
	b.Helper()
	redis, err := cache.NewRedis(cache.RedisOptions{URL: "redis://127.0.0.1:" + port}, slog.New(slog.DiscardHandler), nil)
	require.NoError(b, err)
	shared, err = cache.New(redis, nil)
	require.NoError(b, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { redis.Run(ctx) })
	running.Go(func() { shared.Run(ctx) })
	require.Eventually(b, func() bool {
		shared.Set("there", []byte("x"))
		return len(shared.Get(ctx, "tests", []string{"there"})) == 1
	}, time.Minute, 10*time.Millisecond)
	return shared, func() {
		cancel()
		running.Wait()
	}
}
