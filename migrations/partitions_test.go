package migrations_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

func TestPartitionsCoverThePastAndTheNextMonths(t *testing.T) {
	conn := connect(t, migratetest.Database(t))
	now := time.Now().UTC()
	want := []string{"events_before_2000"}
	for year := 2000; year < now.Year(); year++ {
		want = append(want, fmt.Sprintf("events_%d", year))
	}
	last := time.Date(now.Year(), now.Month()+3, 1, 0, 0, 0, 0, time.UTC)
	for m := time.Date(now.Year(), 1, 1, 0, 0, 0, 0, time.UTC); !m.After(last); m = m.AddDate(0, 1, 0) {
		want = append(want, m.Format("events_200601"))
	}
	require.ElementsMatch(t, want, partitions(t, conn))
	// An event at each end of a partition finds its place, as UTC has it.
	execute(t, conn, "SET timezone = 'Pacific/Kiritimati'")
	for at, partition := range map[string]string{
		"1900-01-01 00:00:00+00":                                              "events_before_2000",
		"1999-12-31 23:59:59.999999+00":                                       "events_before_2000",
		"2000-01-01 00:00:00+00":                                              "events_2000",
		"2025-12-31 23:59:59.999999+00":                                       "events_2025",
		now.Format("2006-01-02 15:04:05Z07:00"):                               now.Format("events_200601"),
		last.AddDate(0, 1, 0).Add(-time.Microsecond).Format(time.RFC3339Nano): last.Format("events_200601"),
	} {
		addEvent(t, conn, 1, at)
		require.Equal(t, partition, scan[string](t, conn, "SELECT tableoid::regclass::text FROM events WHERE timestamp = $1::text::timestamptz", at), at)
	}
}

func TestEnsurePartition(t *testing.T) {
	url := migratetest.Database(t)
	conn := connectAs(t, url, "audittrail_ingest")
	execute(t, conn, "SET timezone = 'Pacific/Kiritimati'") // 14 hours ahead: a month's first day is elsewhere
	for month, name := range map[string]string{
		"0001-01-01": "events_before_2000", "1948-07-03": "events_before_2000", "2007-12-31": "events_2007",
		"2998-02-28": "events_299802", "2998-03-01": "events_299803",
	} {
		for range 2 {
			require.Equal(t, name, scan[string](t, conn, "SELECT ensure_partition('events', $1::text::date)", month), month)
		}
	}
	require.Equal(t, "FOR VALUES FROM ('2998-02-01 00:00:00+00') TO ('2998-03-01 00:00:00+00')", scan[string](t, connect(t, url+"&timezone=UTC"),
		"SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'events_299802'"))
	addEvent(t, conn, 1, "2998-02-28 23:59:59.999999+00")
	// It has what its siblings have.
	require.Equal(t, 1, scan[int](t, connect(t, url), `SELECT count(DISTINCT n) FROM (
		SELECT count(*) AS n FROM pg_index WHERE indrelid IN (SELECT inhrelid FROM pg_inherits WHERE inhparent = 'events'::regclass) GROUP BY indrelid) AS x`))
}

func TestEnsurePartitionTakesListedParentsOnly(t *testing.T) {
	conn := connectAs(t, migratetest.Database(t), "audittrail_ingest")
	for _, parent := range []string{"", "event_keys", "pg_class", "Events", "public.events", "events; DROP TABLE events", `events"`} {
		failed := try(t, conn, "SELECT ensure_partition($1, '2998-01-01')", parent)
		require.NotNil(t, failed, parent)
		require.Equal(t, "22023", failed.Code, parent)
	}
	for _, sql := range []string{
		"SELECT ensure_partition(NULL, '2998-01-01')", "SELECT ensure_partition('events', NULL)",
		"SELECT ensure_partition('events', 'infinity')", "SELECT ensure_partition('events', '-infinity')",
	} {
		failed := try(t, conn, sql)
		require.NotNil(t, failed, sql)
		require.Equal(t, "22023", failed.Code, sql)
	}
}

func TestEnsurePartitionIsSafeToRace(t *testing.T) {
	url := migratetest.Database(t)
	var group sync.WaitGroup
	failed := make(chan error, 100)
	for i := range 8 {
		conn := connectAs(t, url, "audittrail_ingest")
		group.Go(func() {
			for m := range 6 {
				month := (m + i/4) % 6 // several orders
				if _, err := conn.Exec(t.Context(), "SELECT ensure_partition('events', make_date(2998, $1, 1))", month+1); err != nil {
					failed <- err
				}
			}
		})
	}
	group.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	require.Equal(t, 6, scan[int](t, connect(t, url), "SELECT count(*) FROM pg_class WHERE relname LIKE 'events\\_2998__' AND relkind = 'r'"))
}

// An export may read for hours: whoever makes a partition must not wait for it, nor make others wait.
func TestEnsurePartitionWaitsForNoReaderOrWriter(t *testing.T) {
	url := migratetest.Database(t)
	for _, role := range []string{"audittrail_api", "audittrail_ingest"} {
		holder := connectAs(t, url, role)
		execute(t, holder, "BEGIN")
		execute(t, holder, "SELECT count(*) FROM events")
		if role == "audittrail_ingest" {
			addEvent(t, holder, 1, "2025-01-01")
		}
	}
	maker := connectAs(t, url, "audittrail_ingest")
	execute(t, maker, "SET lock_timeout = '2s'")
	execute(t, maker, "SELECT ensure_partition('events', '2998-01-01')")
	reader := connectAs(t, url, "audittrail_api")
	execute(t, reader, "SET lock_timeout = '2s'")
	execute(t, reader, "SELECT count(*) FROM events")
}

// The function runs as the owner: nothing that a caller puts in its way may be used by it.
func TestEnsurePartitionTrustsNoSearchPath(t *testing.T) {
	url := migratetest.Database(t)
	conn := connectAs(t, url, "audittrail_ingest")
	execute(t, conn, "CREATE TEMP TABLE installation AS SELECT timestamptz '2990-01-01' AS installed_at")
	execute(t, conn, "CREATE TEMP TABLE events (LIKE public.events)")
	execute(t, conn, "CREATE TEMP TABLE pg_inherits AS SELECT * FROM pg_catalog.pg_inherits LIMIT 0")
	for _, function := range []string{
		"date_trunc(text, timestamptz) RETURNS timestamptz", "to_char(timestamptz, text) RETURNS text", "format(text, text, text) RETURNS text",
		"quote_ident(text) RETURNS text", "hashtextextended(text, int) RETURNS bigint",
	} {
		execute(t, conn, "CREATE FUNCTION pg_temp."+function+" LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'hijacked as %', current_user; END $$")
	}
	execute(t, conn, "SET search_path = pg_temp, public, pg_catalog")
	require.Equal(t, "events_299801", scan[string](t, conn, "SELECT public.ensure_partition('events', '2998-01-01')"))
	require.Contains(t, partitions(t, connect(t, url)), "events_299801")
}
