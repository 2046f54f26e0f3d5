package query_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// replicated is an API over a primary and two streaming replicas.
type replicated struct {
	*api
	primary  *migratetest.OwnServer
	replicas map[string]*migratetest.OwnServer
	pool     *pgxpool.Pool
}

func newReplicated(t *testing.T, maxLag time.Duration) *replicated {
	t.Helper()
	r := &replicated{primary: migratetest.Server(t), replicas: map[string]*migratetest.OwnServer{}}
	var all []store.Replica
	for _, name := range []string{"a", "b"} {
		r.replicas[name] = r.primary.Replica()
		all = append(all, store.Replica{Name: name, Pool: apiPool(t, r.replicas[name].URL())})
	}
	r.pool = apiPool(t, r.primary.URL())
	metrics := prometheus.NewRegistry()
	set := runReplicas(t, store.ReplicaOptions{Primary: r.pool, Replicas: all, MaxLag: maxLag, Metrics: metrics})
	r.api = newAPIOn(t, r.primary.URL(), startAPI(t, r.pool, func(s *settings) { s.replicas = set }))
	r.metrics = metrics
	return r
}

func runReplicas(t *testing.T, o store.ReplicaOptions) *store.Replicas {
	t.Helper()
	o.Log = slog.New(slog.DiscardHandler)
	set, err := store.NewReplicas(o)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { set.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return set
}

// awaitUsable waits until the replica can, or can't, be read.
func awaitUsable(t *testing.T, metrics *prometheus.Registry, name string, want float64) {
	t.Helper()
	require.Eventually(t, func() bool { return gauge(t, metrics, "audittrail_replica_usable", name) == want }, time.Minute, 10*time.Millisecond,
		"replica %s: usable %v", name, want)
}

func gauge(t *testing.T, metrics *prometheus.Registry, metric, replica string) float64 {
	t.Helper()
	families, err := metrics.Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == metric && m.GetLabel()[0].GetValue() == replica {
				return m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	t.Fatalf("there is no %s of %s", metric, replica)
	return 0
}

// from asks with a least position, where there is one.
func (r *replicated) from(t *testing.T, path, least string) answer {
	t.Helper()
	request := r.request(t, path)
	if least != "" {
		request.Header.Set("Audittrail-Min-Position", least)
	}
	return r.send(t, request)
}

func (r *replicated) everyReplica(sql string) {
	for _, one := range r.replicas {
		one.Execute(sql)
	}
}

// A replica that is within the bound may be behind; who has seen more says so, and is answered by a server that has it.
func TestReplicasThatAreBehind(t *testing.T) {
	t.Parallel()
	r := newReplicated(t, time.Hour)
	r.append(t, order(1, "Order", "o-1"), order(2, "Order", "o-1"))
	awaitUsable(t, r.metrics, "a", 1)
	awaitUsable(t, r.metrics, "b", 1)
	require.Eventually(t, func() bool { return len(r.list(t, "/v1/events").Items) == 2 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, http.StatusOK, r.from(t, "/v1/events/"+id(2), "1").status)

	r.everyReplica("SELECT pg_wal_replay_pause()")
	r.append(t, order(3, "Order", "o-1"))
	stale := r.get(t, "/v1/events")
	require.Equal(t, "1", stale.header.Get("Audittrail-Position"), "a replica has answered")
	fresh := r.from(t, "/v1/events?limit=1", "2")
	require.Equal(t, "2", fresh.header.Get("Audittrail-Position"))
	require.Contains(t, string(fresh.body), id(3), "the primary has it")
	require.Equal(t, http.StatusOK, r.get(t, "/v1/events/"+id(3)).status, "what a replica does not find is looked for at the primary")
	require.Len(t, r.list(t, "/v1/feed").Items, 3, "the feed is the primary's")
	r.from(t, "/v1/events", "3").refused(t, 503, "position_not_reached", "Audittrail-Min-Position")
	for _, wrong := range []string{"-1", "x", "1.0", ""} {
		request := r.request(t, "/v1/events")
		request.Header["Audittrail-Min-Position"] = []string{wrong}
		r.send(t, request).refused(t, 400, "invalid_parameter", "Audittrail-Min-Position")
	}

	// A list goes on where all is that its first page could show, and so does an export.
	first := r.from(t, "/v1/events?order=asc&limit=1", "2")
	var page list
	first.decode(t, &page)
	require.NotNil(t, page.NextCursor)
	require.Equal(t, []any{id(2), id(3)}, r.list(t, "/v1/events?order=asc&limit=9&cursor="+*page.NextCursor).all("eventId"))
	rest := r.get(t, "/v1/events/export?format=ndjson&after="+id(1)+"&size=3")
	require.Equal(t, http.StatusOK, rest.status, string(rest.body))
	require.Equal(t, 2, trailer(t, rest).Count, "an export that is marked complete is complete")
	whole := r.get(t, "/v1/events/export?format=ndjson")
	size, err := strconv.Atoi(whole.header.Get("Audittrail-Size"))
	require.NoError(t, err)
	require.Equal(t, size, trailer(t, whole).Count)

	r.everyReplica("SELECT pg_wal_replay_resume()")
	require.Eventually(t, func() bool { return len(r.list(t, "/v1/events").Items) == 3 }, time.Minute, 10*time.Millisecond)
}

// trailer reads the last line of an NDJSON export.
func trailer(t *testing.T, a answer) (last struct {
	Complete bool
	Count    int
}) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(string(a.body)), "\n")
	require.NoError(t, json.Unmarshal([]byte(lines[len(lines)-1]), &last))
	require.True(t, last.Complete)
	return last
}

// Whatever happens to replicas while the API answers, its answers are right.
func TestReplicasThatFail(t *testing.T) {
	t.Parallel()
	r := newReplicated(t, time.Second)
	r.append(t, order(1, "Order", "o-1"))
	awaitUsable(t, r.metrics, "a", 1)
	awaitUsable(t, r.metrics, "b", 1)
	l := r.load(t)

	r.replicas["a"].Execute("SELECT pg_wal_replay_pause()")
	r.append(t, order(2, "Order", "o-1"))
	awaitUsable(t, r.metrics, "a", 0)
	require.Greater(t, gauge(t, r.metrics, "audittrail_replica_lag_seconds", "a"), 0.5)
	r.replicas["a"].Execute("SELECT pg_wal_replay_resume()")
	awaitUsable(t, r.metrics, "a", 1)

	r.replicas["a"].Crash()
	awaitUsable(t, r.metrics, "a", 0)
	r.replicas["b"].Crash()
	awaitUsable(t, r.metrics, "b", 0)
	require.Equal(t, http.StatusOK, r.get(t, "/v1/events/"+id(2)).status, "the primary answers")
	r.replicas["a"].Start()
	r.replicas["b"].Start()
	awaitUsable(t, r.metrics, "a", 1)
	awaitUsable(t, r.metrics, "b", 1)

	// One that was promoted has a history of its own from now on.
	r.replicas["b"].Execute("SELECT pg_promote()")
	awaitUsable(t, r.metrics, "b", 0)
	l.end(t)

	other := newAPIOn(t, r.replicas["b"].URL(), &api{issuer: r.issuer})
	other.offset = 2
	other.append(t, order(7, "Order", "o-1"))
	r.append(t, order(3, "Order", "o-1"))
	require.Eventually(t, func() bool { return len(r.list(t, "/v1/events").Items) == 3 }, time.Minute, 10*time.Millisecond)
	require.Equal(t, http.StatusNotFound, r.get(t, "/v1/events/"+id(7)).status)

	// The new primary's API must not read from who follows the old one.
	after := runReplicas(t, store.ReplicaOptions{
		Primary: apiPool(t, r.replicas["b"].URL()), MaxLag: time.Hour,
		Replicas: []store.Replica{{Name: "a", Pool: apiPool(t, r.replicas["a"].URL())}, {Name: "old", Pool: r.pool}},
	})
	reader := store.NewReader(store.ReaderOptions{Pool: apiPool(t, r.replicas["b"].URL()), Replicas: after})
	require.Eventually(t, func() bool {
		notes := strings.Join(after.Notes(), "; ")
		return strings.Contains(notes, "replica a can't be read: it has another history") && strings.Contains(notes, "replica old can't be read: it is no replica")
	}, time.Minute, 10*time.Millisecond)
	for range 20 {
		ctx, seat := reader.WithSeat(t.Context(), -1)
		page, err := reader.Events(ctx, store.Filter{}, store.Page{Limit: 10})
		require.NoError(t, err)
		require.Equal(t, id(7), page.Items[0].ID.String())
		require.False(t, seat.IsReplica())
		seat.Leave()
	}
}

// load is requests that go on while servers fail.
type load struct {
	stop    context.CancelFunc
	running sync.WaitGroup

	mu    sync.Mutex
	asked int
	wrong []string
}

func (r *replicated) load(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{stop: cancel}
	t.Cleanup(cancel)
	token := r.issuer.Token(nil)
	for range 4 {
		l.running.Go(func() {
			for ctx.Err() == nil {
				request, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url+"/v1/aggregates/Order/o-1/events?limit=1", nil)
				if err != nil {
					return
				}
				request.Header.Set("Authorization", "Bearer "+token)
				l.note(ctx, r.client, request)
			}
		})
	}
	return l
}

func (l *load) note(ctx context.Context, client *http.Client, request *http.Request) {
	response, err := client.Do(request)
	if ctx.Err() != nil {
		if err == nil {
			_ = response.Body.Close()
		}
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked++
	if err != nil {
		l.wrong = append(l.wrong, err.Error())
		return
	}
	defer response.Body.Close()
	var got struct {
		Code  string
		Items []struct{ EventID string }
	}
	err = json.NewDecoder(response.Body).Decode(&got)
	if err != nil && ctx.Err() != nil { // the load was ended in the middle of the answer
		l.asked--
		return
	}
	if err != nil || response.StatusCode != http.StatusOK || len(got.Items) != 1 || got.Items[0].EventID != id(1) {
		l.wrong = append(l.wrong, response.Status+" "+got.Code)
	}
}

// end ends the load. Only a server that is too busy may have been an error.
func (l *load) end(t *testing.T) {
	t.Helper()
	l.stop()
	l.running.Wait()
	for _, w := range l.wrong {
		require.Equal(t, "503 Service Unavailable unavailable", w)
	}
	require.Less(t, len(l.wrong), l.asked/20+1, "of %d", l.asked)
	require.NotZero(t, l.asked)
}
