package reconcile

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/kafka"
	"audittrail/platform/postgres"
)

// fixture is a topic of one partition, of which an event store has read a part.
type fixture struct {
	t       *testing.T
	cluster *kfake.Cluster
	brokers []string
	url     string
	conn    *pgx.Conn
}

const patienceOfTests = time.Minute

func newFixture(t *testing.T, records int, written time.Time) *fixture {
	t.Helper()
	f := &fixture{t: t, url: migratetest.Database(t)}
	var err error
	f.cluster, err = kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(1, "orders"))
	require.NoError(t, err)
	t.Cleanup(f.cluster.Close)
	f.brokers = f.cluster.ListenAddrs()
	client, err := kgo.NewClient(kgo.SeedBrokers(f.brokers...))
	require.NoError(t, err)
	defer client.Close()
	for n := range records {
		r := &kgo.Record{Topic: "orders", Value: []byte("x"), Timestamp: written.Add(time.Duration(n) * time.Minute)}
		require.NoError(t, client.ProduceSync(t.Context(), r).FirstErr())
	}
	topics, err := kafka.Topics(t.Context(), client, []string{"orders"})
	require.NoError(t, err)
	f.conn, err = pgx.Connect(t.Context(), f.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.conn.Close(context.Background()) })
	f.exec(`INSERT INTO ingest_topics (topic, topic_id) VALUES ('orders', $1)`, topics["orders"].ID)
	f.exec(`INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset) VALUES ($1, 'orders', 0, 0, 0)`, topics["orders"].ID)
	return f
}

func (f *fixture) exec(sql string, args ...any) {
	f.t.Helper()
	_, err := f.conn.Exec(f.t.Context(), sql, args...)
	require.NoError(f.t, err)
}

// read accounts for the offsets [from, to), as absent.
func (f *fixture) read(from, to int64) {
	f.t.Helper()
	f.exec(`INSERT INTO ingest_ranges (topic_id, partition, stored, from_offset, to_offset, duplicates, dead_lettered, absent, recorded_at)
		SELECT topic_id, partition, 0, $1::bigint, $2::bigint, 0, 0, $2::bigint - $1::bigint, now() FROM ingest_offsets`, from, to)
	f.exec(`UPDATE ingest_offsets SET next_offset = greatest(next_offset, $1)`, to)
}

// check runs a checker until the returned function is called, or the test is over.
func (f *fixture) check(now func() time.Time) (registry *prometheus.Registry, stop func()) {
	t := f.t
	t.Helper()
	pool, err := postgres.Open(t.Context(), postgres.PoolOptions{
		URL: f.url, Name: "reconcile", Role: "audittrail_ingest", MaxConns: 1, Parameters: map[string]string{"default_transaction_read_only": "on"},
	})
	require.NoError(t, err)
	registry = prometheus.NewRegistry()
	c, err := NewChecker(Dependencies{
		Pool: pool, Kafka: kafka.Options{Brokers: f.brokers, Topics: []string{"orders"}, MetadataMaxAge: time.Second},
		Wanted: func(string) bool { return true }, Every: 30 * time.Millisecond, Now: now,
		Log: slog.New(slog.DiscardHandler), Metrics: registry,
		lookEvery: 10 * time.Millisecond, kafkaEvery: 30 * time.Millisecond, settle: time.Millisecond,
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); c.Run(ctx) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(func() { stop(); pool.Close() })
	return registry, stop
}

// value is that of a series, which has a label of this value where one is given.
func value(t *testing.T, registry *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := registry.Gather()
	require.NoError(t, err)
	for _, family := range families {
		if family.GetName() != "audittrail_reconcile_"+name {
			continue
		}
	series:
		for _, m := range family.GetMetric() {
			for i, l := range m.GetLabel() {
				if l.GetValue() != labels[i] {
					continue series
				}
			}
			if m.Counter != nil {
				return m.GetCounter().GetValue()
			}
			return m.GetGauge().GetValue()
		}
	}
	require.Fail(t, "no such series", "%s %v", name, labels)
	return 0
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	require.Eventually(t, holds, patienceOfTests, 5*time.Millisecond, what)
}

func TestTellsWhatIsStillToBeRead(t *testing.T) {
	written := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
	f := newFixture(t, 10, written)
	f.read(0, 4)
	began := time.Now()
	registry, stop := f.check(func() time.Time { return written.Add(time.Hour + time.Since(began)) })
	eventually(t, "six records", func() bool { return value(t, registry, "unread_records") == 6 })
	eventually(t, "the fifth is from 9:04", func() bool { return value(t, registry, "oldest_unread_seconds") >= 56*60 })
	require.Less(t, value(t, registry, "oldest_unread_seconds"), 58.0*60)
	require.Zero(t, value(t, registry, "discrepancies", sideKafka))
	stop()
	require.Zero(t, value(t, registry, "unread_records"), "it does not check any more")
}

func TestFindsGapsAndForgetsThem(t *testing.T) {
	f := newFixture(t, 10, time.Now())
	f.read(0, 4)
	registry, _ := f.check(nil)
	eventually(t, "both were checked", func() bool {
		return value(t, registry, "runs_total", sideTables, outcomeDone) > 0 && value(t, registry, "runs_total", sideKafka, outcomeDone) > 0
	})
	require.Zero(t, value(t, registry, "discrepancies", sideTables))
	require.Zero(t, value(t, registry, "discrepancies", sideKafka))
	require.InDelta(t, 6, value(t, registry, "unread_records"), 0)

	f.read(6, 10)
	eventually(t, "a gap", func() bool { return value(t, registry, "discrepancies", sideTables) == 1 })
	f.read(4, 6)
	eventually(t, "not any more", func() bool { return value(t, registry, "discrepancies", sideTables) == 0 })

	f.exec(`UPDATE ingest_offsets SET next_offset = 12`)
	eventually(t, "the log ends before", func() bool { return value(t, registry, "discrepancies", sideKafka) == 1 })
	f.exec(`UPDATE ingest_offsets SET next_offset = 10`)
	eventually(t, "not any more", func() bool { return value(t, registry, "discrepancies", sideKafka) == 0 })
}

func TestOneOfManyChecks(t *testing.T) {
	f := newFixture(t, 2, time.Now())
	first, stop := f.check(nil)
	eventually(t, "the first checks", func() bool { return value(t, first, "unread_records") == 2 })
	second, _ := f.check(nil)
	f.read(0, 1)
	eventually(t, "the first still does", func() bool { return value(t, first, "unread_records") == 1 })
	require.Zero(t, value(t, second, "runs_total", sideKafka, outcomeDone))
	stop()
	eventually(t, "the second takes over", func() bool { return value(t, second, "unread_records") == 1 })
}

// A Kafka that is away keeps neither the lead nor the tables from being looked at.
func TestChecksTheTablesWithoutKafka(t *testing.T) {
	f := newFixture(t, 2, time.Now())
	f.read(0, 2)
	f.cluster.Close()
	registry, _ := f.check(nil)
	eventually(t, "Kafka could not be asked", func() bool { return value(t, registry, "runs_total", sideKafka, outcomeFailed) > 0 })
	eventually(t, "the tables were", func() bool { return value(t, registry, "runs_total", sideTables, outcomeDone) > 1 })
}
