package cmd

import (
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

func ranges(t *testing.T, sql string) (url string) {
	t.Helper()
	url = migratetest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
	return url
}

const offsetsAndRange = `
	INSERT INTO ingest_offsets (topic_id, topic, partition, first_offset, next_offset)
	VALUES ('00000000-0000-4000-8000-000000000001', 'orders', 0, 0, 10);
	INSERT INTO ingest_ranges (topic_id, partition, stored, from_offset, to_offset, duplicates, dead_lettered, absent, recorded_at)
	VALUES ('00000000-0000-4000-8000-000000000001', 0, 0, 0, 8, 3, 0, 5, now());`

const rangeOfTheRest = `
	INSERT INTO ingest_ranges (topic_id, partition, stored, from_offset, to_offset, duplicates, dead_lettered, absent, recorded_at)
	VALUES ('00000000-0000-4000-8000-000000000001', 0, 0, 8, 10, 0, 0, 2, now());`

func TestReconcileSaysThatAllIsAccountedFor(t *testing.T) {
	url := ranges(t, offsetsAndRange+rangeOfTheRest)
	out, errs, status := call(t, "reconcile", "--postgres.url", url)
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "Every offset is accounted for")
	require.Regexp(t, `orders\s+0\s+0\s+10\s+10\s+0\s+3\s+0\s+7`, out)
}

// Settings of the database change neither which tables are meant nor how long reading them may take.
func TestReconcileAndVerifyMindNoSettingsOfTheDatabase(t *testing.T) {
	url := ranges(t, offsetsAndRange+rangeOfTheRest+`
		DO $$ BEGIN
			EXECUTE format('ALTER DATABASE %I SET search_path = pg_catalog', current_database());
			EXECUTE format('ALTER DATABASE %I SET statement_timeout = %L', current_database(), '1ms');
		END $$`)
	_, errs, status := call(t, "reconcile", "--postgres.url", url)
	require.Equal(t, 0, status, errs)
	_, errs, _ = call(t, "verify", "--database", "--postgres.url", url)
	require.NotContains(t, errs, "timeout")
}

func TestReconcileNamesADiscrepancyAndFails(t *testing.T) {
	url := ranges(t, offsetsAndRange)
	out, errs, status := call(t, "reconcile", "--postgres.url", url)
	require.Equal(t, 1, status)
	require.Contains(t, errs, "does not balance: 1 discrepancies")
	require.Regexp(t, `range_last\s+orders/0 \[8, 10\)\s+10\s+8`, out)

	out, _, status = call(t, "reconcile", "--postgres.url", url, "--output", "json")
	require.Equal(t, 1, status)
	var report struct {
		Balanced      bool
		Partitions    []struct{ NextOffset int64 }
		Discrepancies []struct {
			Check           string
			Topic           string
			From, To        int64
			Expected, Found any
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.Balanced)
	require.EqualValues(t, 10, report.Partitions[0].NextOffset)
	d := report.Discrepancies[0]
	require.Equal(t, "range_last", d.Check)
	require.Equal(t, "orders", d.Topic)
	require.Equal(t, [2]int64{8, 10}, [2]int64{d.From, d.To})
	require.Equal(t, []any{10.0, 8.0}, []any{d.Expected, d.Found})
}

func TestReconcileNeedsADatabase(t *testing.T) {
	_, errs, status := call(t, "reconcile")
	require.Equal(t, 2, status)
	require.Contains(t, errs, "postgres.url")
	_, errs, status = call(t, "reconcile", "--postgres.url", "postgres://u:geheim@127.0.0.1:1/x")
	require.Equal(t, 1, status)
	require.NotContains(t, errs, "geheim")
}

// lineWriter hands over what is written.
type lineWriter chan string

func (w lineWriter) Write(p []byte) (int, error) {
	w <- string(p)
	return len(p), nil
}

// A gap that somebody makes while it watches is told, and the status is the last one's.
func TestReconcileWatches(t *testing.T) {
	url := ranges(t, offsetsAndRange+rangeOfTheRest)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	lines, status := make(lineWriter, 1000), make(chan int, 1)
	go func() {
		status <- run(ctx, []string{"reconcile", "--postgres.url", url, "--watch", "--every", "1s"}, lines, io.Discard)
	}()
	until := func(part string) {
		t.Helper()
		for deadline := time.After(time.Minute); ; {
			select {
			case line := <-lines:
				if strings.Contains(line, part) {
					return
				}
			case <-deadline:
				t.Fatal("no line has " + part)
			}
		}
	}
	until("balanced: 10 offsets")
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(t.Context()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), `UPDATE ingest_offsets SET next_offset = 12`)
	require.NoError(t, err)
	until("1 discrepancies")
	until("range_last")
	stop()
	require.Equal(t, 1, <-status)
}
