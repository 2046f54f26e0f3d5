package app

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// produceMany writes events with the ids from, from+1, … into Kafka. It may run beside the test.
func produceMany(t *testing.T, brokers string, from, events int) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	if err != nil {
		t.Error(err)
		return
	}
	defer client.Close()
	records := make([]*kgo.Record, events)
	for i := range records {
		records[i] = &kgo.Record{Topic: "orders", Value: fmt.Appendf(nil, `{"eventId":%q,"eventType":"OrderPlaced","aggregateId":"o-%d",
			"aggregateType":"Order","timestamp":"2026-01-02T03:04:05Z","version":%d,"payload":{"total":"%d.50"}}`, eventID(from+i), (from+i)/10, i%10+1, i)}
	}
	assert.NoError(t, client.ProduceSync(t.Context(), records...).FirstErr())
}

// answers are what a flood of requests got.
type answers struct {
	mu      sync.Mutex
	by      map[string]int // by path and status
	wrong   []string       // refusals that are none of those that callers are promised
	longest time.Duration
}

func (a *answers) note(path string, response *http.Response, body []byte, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.by[fmt.Sprint(path, " ", response.StatusCode)]++
	a.longest = max(a.longest, took)
	refused := response.StatusCode == http.StatusServiceUnavailable && response.Header.Get("Retry-After") != "" && strings.Contains(string(body), `"unavailable"`)
	if response.StatusCode != http.StatusOK && !refused {
		a.wrong = append(a.wrong, fmt.Sprintf("%s: %s %v %s", path, response.Status, response.Header, body))
	}
}

func (a *answers) count(key string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.by[key]
}

// flood asks for the paths without a pause, by so many callers each, until it is stopped.
func (p *program) flood(callers int, paths ...string) (got *answers, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	got = &answers{by: map[string]int{}}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: callers * len(paths)}}
	ask := func(path string) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.addrs["api"]+path, nil)
		if err != nil {
			return
		}
		request.Header.Set("Authorization", "Bearer "+p.token)
		begun := time.Now()
		response, err := client.Do(request)
		if err != nil {
			return // it was stopped
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err == nil {
			got.note(path, response, body, time.Since(begun))
		}
	}
	for _, path := range paths {
		for range callers {
			running.Go(func() {
				for ctx.Err() == nil {
					ask(path)
				}
			})
		}
	}
	return got, sync.OnceFunc(func() {
		cancel()
		running.Wait()
		client.CloseIdleConnections()
	})
}

// More requests than the API has connections, each of which takes seconds, leave ingest what it needs. They wait for a
// connection for a bounded time, and are told to come again.
func TestAFloodOfTheAPIDoesNotStarveIngest(t *testing.T) {
	t.Parallel()
	const conns, callers, events = 4, 20, 5000
	database, brokers := migratetest.Database(t), broker(t)
	p := start(t, "--postgres.url="+database, "--postgres.max_conns="+fmt.Sprint(conns), "--kafka.brokers="+brokers, "--kafka.topics=orders")
	p.until("admin", "/readyz", http.StatusOK, "")
	produceMany(t, brokers, 0, 1)
	p.until("api", "/v1/events/"+eventID(0), http.StatusOK, "")

	direct, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer direct.Close(context.Background()) //nolint:errcheck // nothing is lost with it
	// A slow query: it has its connection until lock_timeout. No append needs this table.
	tx, err := direct.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "LOCK TABLE replays")
	require.NoError(t, err)

	const slow, quick = "/v1/replays", "/v1/events?aggregateType=Order&limit=5"
	got, stop := p.flood(callers, slow, quick)
	defer stop()
	used := `audittrail_db_pool_connections{pool="api",state="acquired"}`
	require.Eventually(t, func() bool { return p.metric(used) == conns && got.count(slow+" 503") > conns }, patience, 20*time.Millisecond)

	before := got.count(slow + " 503")
	produceMany(t, brokers, 1, events)
	stored := 0
	require.Eventually(t, func() bool {
		require.NoError(t, tx.QueryRow(t.Context(), "SELECT count(*) FROM events").Scan(&stored))
		return stored == events+1 && p.lag() == 0
	}, patience, 20*time.Millisecond)
	require.Eventually(t, func() bool { return got.count(slow+" 503") > before && p.metric(used) == conns }, patience, 20*time.Millisecond, "the flood goes on")
	p.until("admin", "/readyz/ingest", http.StatusOK, "")
	p.until("admin", "/readyz/api", http.StatusOK, "")

	require.NoError(t, tx.Rollback(t.Context()))
	before = got.count(slow + " 200")
	require.Eventually(t, func() bool { return got.count(slow+" 200") > before+callers }, patience, 20*time.Millisecond, "the API comes back while the flood goes on")
	stop()
	require.Empty(t, got.wrong)
	t.Logf("%v, the longest took %s", got.by, got.longest)
	// Five seconds for a connection, five for the lock; the rest is the machine's.
	require.Less(t, got.longest, 40*time.Second)
	require.NoError(t, p.stop())
}

// lag is how many records wait in Kafka, by ingest's own metric.
func (p *program) lag() (sum float64) {
	p.t.Helper()
	_, text := p.get("admin", "/metrics")
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(line, "} "); found && strings.HasPrefix(name, "audittrail_ingest_lag_records{") {
			var n float64
			_, err := fmt.Sscan(value, &n)
			require.NoError(p.t, err)
			sum += n
		}
	}
	return sum
}

// While ingest works off as much as it can, the API answers all that it is asked.
func TestAFloodOfEventsDoesNotStarveTheAPI(t *testing.T) {
	t.Parallel()
	const known = 200
	flood := longtest.Choose(t, 20_000, 60_000)
	database, brokers := migratetest.Database(t), broker(t)
	p := start(t, "--postgres.url="+database, "--postgres.max_conns=4", "--kafka.brokers="+brokers, "--kafka.topics=orders")
	produceMany(t, brokers, 0, known)
	p.until("api", "/v1/events?limit=200", http.StatusOK, eventID(known-1))
	// Histories come from PostgreSQL each time. Of the events by id, most come from the cache.
	want, client := map[string]string{}, &http.Client{Timeout: patience}
	for i := 0; i < known; i += 10 {
		for _, path := range []string{"/v1/events/" + eventID(i), fmt.Sprintf("/v1/aggregates/Order/o-%d/events", i/10)} {
			var err error
			want[path], err = p.answer(t.Context(), client, path)
			require.NoError(t, err)
			require.Contains(t, want[path], eventID(i))
		}
	}
	stored := func() int { return counted(t, database, "SELECT count(*) FROM events") }
	l, published := p.load(want), known
	var flooding sync.WaitGroup
	for range 10 {
		if p.lag() == 0 {
			flooding.Wait()
			from := published
			published += flood
			flooding.Go(func() { produceMany(t, brokers, from, flood) })
			require.Eventually(t, func() bool { return stored() > from }, patience, time.Millisecond)
		}
		_, longest := l.next(t, 10)
		t.Logf("10 answers, the longest after %s", longest)
	}
	require.Empty(t, l.end())
	flooding.Wait()
	require.Eventually(t, func() bool { return stored() == published }, patience, 100*time.Millisecond)
	require.NoError(t, p.stop())
}
