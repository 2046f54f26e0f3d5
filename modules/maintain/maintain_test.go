package maintain_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/require"

	"audittrail/modules/maintain"
	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/lifecycle"
	"audittrail/platform/lifecycle/lifecycletest"
	"audittrail/platform/postgres"
)

func pool(t testing.TB, url, role string) *pgxpool.Pool {
	t.Helper()
	p, err := postgres.Open(context.Background(), postgres.PoolOptions{
		URL: url, Name: "maintain", Role: role, MaxConns: 2, LockTimeout: maintain.OwnerLockTimeout,
	})
	require.NoError(t, err)
	t.Cleanup(p.Close)
	return p
}

// fixture is a role on a database, with a superuser's eyes.
type fixture struct {
	*maintain.Role
	registry *prometheus.Registry
	conn     *pgx.Conn
}

func newFixture(t *testing.T, url string, now func() time.Time) *fixture {
	t.Helper()
	f := &fixture{registry: prometheus.NewRegistry()}
	var err error
	f.Role, err = maintain.New(maintain.Dependencies{
		Pool: pool(t, url, "audittrail_maintain"), Owner: pool(t, url, "audittrail_owner"),
		Keys: pool(t, url, "audittrail_maintain"), LetterDays: 90,
		Interval: 20 * time.Millisecond, Now: now, Log: slog.New(slog.DiscardHandler), Metrics: f.registry,
	})
	require.NoError(t, err)
	f.conn, err = pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.conn.Close(context.Background()) })
	return f
}

// start runs the role until stop is called or the test is over.
func (f *fixture) start(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	ready := make(chan struct{})
	go func() { ended <- f.Run(ctx, func() { close(ready) }) }()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			cancel()
			require.NoError(t, <-ended)
		}
	}
	t.Cleanup(stop)
	select {
	case <-ready:
	case <-time.After(20 * time.Second):
		t.Fatal("the role never became ready")
	}
	return stop
}

// metric is the value of a series; its labels as task, outcome.
func (f *fixture) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := f.registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != "audittrail_maintain_"+name {
			continue
		}
		for _, m := range family.GetMetric() {
			found := make(map[string]bool)
			for _, l := range m.GetLabel() {
				found[l.GetValue()] = true
			}
			matches := len(labels) == len(m.GetLabel())
			for _, l := range labels {
				matches = matches && found[l]
			}
			if matches {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	t.Fatalf("no series %s %v", name, labels)
	return 0
}

func (f *fixture) query(t *testing.T, sql string) int {
	t.Helper()
	var n int
	require.NoError(t, f.conn.QueryRow(t.Context(), sql).Scan(&n))
	return n
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, time.Minute, 10*time.Millisecond, what)
}

// addEvents inserts n rows into the partition of 2025.
func (f *fixture) addEvents(t *testing.T, n int) {
	t.Helper()
	_, err := f.conn.Exec(t.Context(), `INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id,
		event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT coalesce((SELECT max(id) FROM events), 0) + i, '2025-03-01', now(), i, 0, 1, gen_random_uuid(), 'OrderPlaced', 'Order', 'o-' || i,
		'orders', '\x00', jsonb_build_object('n', i, 'lines', jsonb_build_array(i, i + 1)), '{}' FROM generate_series(1, $1) AS i`, n)
	require.NoError(t, err)
	_, err = f.conn.Exec(t.Context(), "SELECT pg_stat_force_next_flush()") // else it may wait ten seconds
	require.NoError(t, err)
}

// unsummarised counts the page ranges of the 2025 partition that its BRIN index knows nothing of.
const unsummarised = `SELECT brin_summarize_new_values('events_2025_id_idx')`

const pendingPages = `SELECT gin_clean_pending_list('events_2025_payload_idx')`

func TestStress(t *testing.T) {
	url := migratetest.Database(t)
	lifecycletest.Stress(t, func() lifecycle.Role { return newFixture(t, url, nil).Role })
}

func TestMakesMonthsAhead(t *testing.T) {
	now := func() time.Time { return time.Date(2998, 11, 30, 23, 59, 0, 0, time.FixedZone("west", -3600*10)) } // December in UTC
	f := newFixture(t, migratetest.Database(t), now)
	f.start(t)
	eventually(t, "the months", func() bool {
		return f.query(t, `SELECT count(*) FROM pg_class WHERE relname IN ('events_299812', 'events_299901', 'events_299902', 'events_299903')
			AND relispartition AND relkind = 'r'`) == 4
	})
	require.Zero(t, f.query(t, "SELECT count(*) FROM pg_class WHERE relname IN ('events_299811', 'events_299904')"))
	eventually(t, "they are counted", func() bool { return f.metric(t, "months_ahead") == 3 })
	_, err := f.conn.Exec(t.Context(), "ALTER TABLE events DETACH PARTITION events_299902")
	require.NoError(t, err)
	eventually(t, "the gap is seen", func() bool { return f.metric(t, "months_ahead") == 1 })
}

func TestLooksAfterPartitionsThatAreWritten(t *testing.T) {
	f := newFixture(t, migratetest.Database(t), nil)
	f.addEvents(t, 3000) // before anybody leads
	f.start(t)
	eventually(t, "pending list cleaned", func() bool { return f.metric(t, "pending_pages_total") > 0 })
	before := f.metric(t, "pending_pages_total")
	f.addEvents(t, 3000)
	eventually(t, "cleaned again", func() bool { return f.metric(t, "pending_pages_total") > before })
	settled := f.metric(t, "runs_total", "summaries", "done")
	eventually(t, "two rounds more", func() bool { return f.metric(t, "runs_total", "summaries", "done") >= settled+2 })
	require.Zero(t, f.query(t, pendingPages))
	require.Zero(t, f.query(t, unsummarised))
	require.Zero(t, f.metric(t, "runs_total", "statistics", "done"), "6,000 rows are too few")
	f.addEvents(t, 4000)
	eventually(t, "analysed", func() bool { return f.metric(t, "runs_total", "statistics", "done") == 1 })
	require.Equal(t, 10000, f.query(t, "SELECT reltuples::int FROM pg_class WHERE relname = 'events_2025'"))
	require.NoError(t, f.Health(t.Context()))
	for _, task := range []string{"months", "pending_lists", "summaries", "statistics"} {
		require.Zero(t, f.metric(t, "runs_total", task, "failed"), task)
	}
}

func TestOneOfManyWorks(t *testing.T) {
	url := migratetest.Database(t)
	first, second := newFixture(t, url, nil), newFixture(t, url, nil)
	stop := first.start(t)
	eventually(t, "the first leads", func() bool { return first.metric(t, "leader") == 1 })
	second.start(t)
	require.NoError(t, second.Health(t.Context()), "who waits is healthy")
	require.Zero(t, second.metric(t, "leader"))
	stop()
	eventually(t, "the second takes over", func() bool { return second.metric(t, "leader") == 1 })
	require.Zero(t, first.metric(t, "leader"))
	// A leader whose session is cut leads no longer, and may lead again.
	lost := second.query(t, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1635083380 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
	require.Equal(t, 1, lost)
	eventually(t, "it leads again", func() bool {
		return second.query(t, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1635083380 AND database = (SELECT oid FROM pg_database WHERE datname = current_database())") == 1 &&
			second.Health(t.Context()) == nil
	})
}

// Autovacuum gives way to whoever waits a second for its lock. Upkeep must not wait that long.
func TestGivesWayToWhoeverWorksOnAPartition(t *testing.T) {
	url := migratetest.Database(t)
	f := newFixture(t, url, nil)
	holder, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer holder.Close(context.Background()) //nolint:errcheck // its lock goes with it
	_, err = holder.Exec(t.Context(), "BEGIN; LOCK TABLE events_2025 IN SHARE UPDATE EXCLUSIVE MODE")
	require.NoError(t, err)
	f.addEvents(t, 100)
	f.start(t)
	eventually(t, "skipped", func() bool { return f.metric(t, "runs_total", "summaries", "skipped") > 0 })
	require.NoError(t, f.Health(t.Context()), "nothing is wrong")
	_, err = holder.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
	eventually(t, "done", func() bool { return f.metric(t, "runs_total", "summaries", "done") > 0 })
}

func TestOutlivesItsDatabase(t *testing.T) {
	server := migratetest.Server(t)
	f := newFixture(t, server.URL(), nil)
	require.Error(t, f.Health(t.Context()), "it has not looked yet")
	f.start(t)
	eventually(t, "healthy", func() bool { return f.Health(t.Context()) == nil })
	server.Stop()
	eventually(t, "unhealthy", func() bool { return f.Health(t.Context()) != nil })
	server.Start()
	eventually(t, "healthy again", func() bool { return f.Health(t.Context()) == nil && f.metric(t, "leader") == 1 })
}

func TestMetricsAreThereFromTheStart(t *testing.T) {
	f := newFixture(t, migratetest.Database(t), nil)
	n, err := testutil.GatherAndCount(f.registry)
	require.NoError(t, err)
	require.Equal(t, 6*3+6+1+1+1, n)
}
