package maintain_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// clock is a time that a test sets.
type clock struct{ unix atomic.Int64 }

// newClock is on a day of February 2998, two and a half hours before January has been over for seven days.
func newClock() *clock {
	c := &clock{}
	c.set(time.Date(2998, 2, 7, 21, 30, 0, 0, time.UTC))
	return c
}

func (c *clock) set(t time.Time) { c.unix.Store(t.Unix()) }
func (c *clock) now() time.Time  { return time.Unix(c.unix.Load(), 0) }

// secondLook waits for a lead's first look at the partitions, and an hour later for its second, which may find some due.
func (f *fixture) secondLook(t *testing.T, c *clock) {
	t.Helper()
	eventually(t, "the first round", func() bool { return f.metric(t, "runs_total", "months", "done") > 0 })
	f.anHour(t, c)
}

// anHour lets an hour pass, and waits until a round has seen that.
func (f *fixture) anHour(t *testing.T, c *clock) {
	t.Helper()
	f.roundAt(t, c, c.now().Add(time.Hour))
}

func (f *fixture) roundAt(t *testing.T, c *clock, at time.Time) {
	t.Helper()
	before := f.metric(t, "runs_total", "months", "done")
	c.set(at)
	eventually(t, "a round at "+at.String(), func() bool { return f.metric(t, "runs_total", "months", "done") > before })
}

func (f *fixture) exec(t *testing.T, sql string) {
	t.Helper()
	_, err := f.conn.Exec(t.Context(), sql)
	require.NoError(t, err, sql)
}

// causes inserts n events with causes.
func (f *fixture) causes(t *testing.T, at string, n int) {
	t.Helper()
	f.exec(t, fmt.Sprintf(`SELECT ensure_partition('events', '%[1]s');
		INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id,
			event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT i, '%[1]s', now(), i, 0, 1, gen_random_uuid(), 'OrderPlaced', 'Order', 'o', 'orders', '\x00', '{}', jsonb_build_object('causationId', 'c' || i)
		FROM (SELECT coalesce((SELECT max(id) FROM events), 0) + i AS i FROM generate_series(1, %[2]d) AS i) AS x`, at, n))
	f.exec(t, "SELECT pg_stat_force_next_flush()") // else it may wait ten seconds
}

// byCause reports whether the partition has a valid btree by causation id.
func (f *fixture) byCause(t *testing.T, partition string) bool {
	t.Helper()
	return f.query(t, fmt.Sprintf(`SELECT count(*) FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid JOIN pg_am a ON a.oid = c.relam
		WHERE indrelid = '%[1]s'::regclass AND indisvalid AND amname = 'btree' AND c.relname = '%[1]s_causation_idx'`, partition)) == 1
}

func (f *fixture) builds(t *testing.T, outcome string) int {
	return int(f.metric(t, "runs_total", "causation_indexes", outcome))
}

// The newest partition is done first. So once an older one has its index, a newer one that has none was not due.
func TestPartitionsThatAreOverGetAnIndexByCausationID(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, migratetest.Database(t), c.now)
	for _, at := range []string{"2025-03-01", "2998-01-31", "2998-02-01"} {
		f.causes(t, at, 10)
	}
	f.start(t)
	f.secondLook(t, c)
	eventually(t, "the past year's", func() bool { return f.byCause(t, "events_2025") })
	require.False(t, f.byCause(t, "events_299801"), "January is over for six days")

	f.anHour(t, c)
	f.anHour(t, c)
	eventually(t, "January's, after seven days", func() bool { return f.byCause(t, "events_299801") })
	for range 3 {
		f.anHour(t, c)
	}
	require.False(t, f.byCause(t, "events_299802"), "February is not over")
	f.roundAt(t, c, time.Date(2998, 3, 8, 0, 0, 0, 0, time.UTC))
	eventually(t, "February's", func() bool { return f.byCause(t, "events_299802") && f.builds(t, "done") == 3 })
	f.anHour(t, c)
	f.anHour(t, c)
	require.Equal(t, 3, f.builds(t, "done"), "each is made once, and none of an empty partition")
	require.Zero(t, f.builds(t, "failed"))
	require.NoError(t, f.Health(t.Context()))
}

// An import of the past is dearer with the index than the index is afterwards.
func TestPartitionsThatGrowHaveNoIndexByCausationIDYet(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, migratetest.Database(t), c.now)
	f.causes(t, "2024-03-01", 10)
	f.causes(t, "2025-03-01", 10)
	f.start(t)
	f.secondLook(t, c)
	eventually(t, "both", func() bool { return f.byCause(t, "events_2024") })
	f.exec(t, "DROP INDEX events_2024_causation_idx; DROP INDEX events_2025_causation_idx")
	f.causes(t, "2025-03-01", 10_001)
	f.anHour(t, c)
	eventually(t, "the one that does not grow", func() bool { return f.byCause(t, "events_2024") })
	require.False(t, f.byCause(t, "events_2025"))
	f.anHour(t, c)
	eventually(t, "the other, an hour later", func() bool { return f.byCause(t, "events_2025") })
}

func TestMendsAnIndexByCausationIDThatWasInterrupted(t *testing.T) {
	t.Parallel()
	c := newClock()
	url := migratetest.Database(t)
	f := newFixture(t, url, c.now)
	f.causes(t, "2025-03-01", 10)
	writer, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer writer.Close(context.Background()) //nolint:errcheck // its lock goes with it
	_, err = writer.Exec(t.Context(), "BEGIN; LOCK TABLE events_2025 IN ROW EXCLUSIVE MODE")
	require.NoError(t, err)
	f.exec(t, "SET lock_timeout = '50ms'")
	_, err = f.conn.Exec(t.Context(), "CREATE INDEX CONCURRENTLY events_2025_causation_idx ON events_2025 ((metadata ->> 'causationId'))")
	require.ErrorContains(t, err, "lock timeout")
	_, err = writer.Exec(t.Context(), "COMMIT")
	require.NoError(t, err)
	require.Equal(t, 1, f.query(t, "SELECT count(*) FROM pg_index WHERE NOT indisvalid"))

	f.start(t)
	f.secondLook(t, c)
	eventually(t, "mended", func() bool { return f.byCause(t, "events_2025") })
	require.Equal(t, 1, f.query(t, `SELECT count(*) FROM pg_index WHERE indexrelid = 'events_2025_causation_idx'::regclass AND pg_get_indexdef(indexrelid) LIKE '%"C"%WHERE%'`))
}

func TestAnIndexByCausationIDThatFailsIsToldByHealth(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, migratetest.Database(t), c.now)
	f.causes(t, "2025-03-01", 10)
	f.exec(t, "CREATE TABLE other (c text); CREATE INDEX events_2025_causation_idx ON other (c)") // its name is taken
	f.start(t)
	f.secondLook(t, c)
	eventually(t, "told", func() bool { return f.Health(t.Context()) != nil })
	require.ErrorContains(t, f.Health(t.Context()), "index causation ids of events_2025")
	f.exec(t, "DROP TABLE other")
	f.anHour(t, c)
	eventually(t, "mended", func() bool { return f.byCause(t, "events_2025") && f.Health(t.Context()) == nil })
}

// A build that fails again and again does not hold back those of other partitions, and is told only while it is due.
func TestAnIndexByCausationIDThatFailsIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	c := newClock()
	f := newFixture(t, migratetest.Database(t), c.now)
	f.causes(t, "2024-03-01", 10)
	f.causes(t, "2025-03-01", 10)
	f.exec(t, "CREATE TABLE events_2025_causation_idx ()") // its name is taken
	f.start(t)
	f.secondLook(t, c)
	eventually(t, "told", func() bool { return f.Health(t.Context()) != nil })
	c.set(c.now().Add(30 * time.Minute)) // beyond the pause
	eventually(t, "the older one", func() bool { return f.byCause(t, "events_2024") })
	require.ErrorContains(t, f.Health(t.Context()), "index causation ids of events_2025")

	f.exec(t, "ALTER TABLE events DETACH PARTITION events_2025")
	f.anHour(t, c)
	eventually(t, "no trouble", func() bool { return f.Health(t.Context()) == nil })
}

// Who leads next must not find the partition locked by who led before.
func TestABuildEndsWithTheLead(t *testing.T) {
	t.Parallel()
	c := newClock()
	url := migratetest.Database(t)
	f := newFixture(t, url, c.now)
	f.causes(t, "2025-03-01", 10)
	writer, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer writer.Close(context.Background()) //nolint:errcheck // its lock goes with it
	_, err = writer.Exec(t.Context(), "BEGIN; LOCK TABLE events_2025 IN ROW EXCLUSIVE MODE")
	require.NoError(t, err)
	const underWay = "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
	f.start(t)
	f.secondLook(t, c)
	eventually(t, "waits for the writer", func() bool { return f.query(t, underWay) == 1 })
	f.causes(t, "2025-03-01", 1) // nobody waits for the build
	f.anHour(t, c)               // and the rounds go on
	require.Equal(t, 1, f.query(t, underWay))
	f.exec(t, `SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 1635083380
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`)
	eventually(t, "ended", func() bool { return f.query(t, underWay) == 0 })
	require.Zero(t, f.builds(t, "skipped"), "it does not wait for the writer in vain")
	require.False(t, f.byCause(t, "events_2025"))
}
