package verify_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/verify"
	"audittrail/platform/longtest"
)

// unspellable makes of an event's payload what PostgreSQL can't write out: reading its row fails.
const unspellable = `UPDATE events SET payload = (SELECT jsonb_agg(1e131071) FROM generate_series(1, 9000)) WHERE event_id = '%s'`

// TestWhatCantBeReadHidesNothing: an event is altered, and something else makes statements fail.
func TestWhatCantBeReadHidesNothing(t *testing.T) {
	t.Parallel()
	bare := `ALTER TABLE ledger_batches DROP CONSTRAINT ledger_batches_check, DROP CONSTRAINT ledger_batches_count_check`
	for name, test := range map[string]struct {
		sql  []string
		kind verify.Kind
		says string
	}{
		"a row":                     {[]string{fmt.Sprintf(unspellable, id(40))}, verify.EventUnreadable, "its row holds what no event does"},
		"a column of another type":  {[]string{`ALTER TABLE events ALTER kafka_partition TYPE bigint`, fmt.Sprintf(`UPDATE events SET kafka_partition = 1::bigint << 40 WHERE event_id = '%s'`, id(40))}, verify.EventUnreadable, "its row holds what no event does"},
		"keys of another type":      {[]string{`ALTER TABLE event_keys ALTER batch TYPE text USING 'abc'`}, verify.KeyAltered, "event_keys can't be read"},
		"a count beyond all memory": {[]string{bare, `ALTER TABLE ledger_batches ALTER count TYPE bigint`, `UPDATE ledger_batches SET count = 1::bigint << 40 WHERE batch = 2`}, verify.LedgerGap, "has a number of entries that no batch has"},
		"tiles of another type":     {[]string{`ALTER TABLE ledger_tiles DROP CONSTRAINT ledger_tiles_check`, `ALTER TABLE ledger_tiles ALTER hashes TYPE text USING 'abc'`}, verify.TileAltered, "is of a place or length that no part is of"},
		"checkpoints of no size":    {[]string{`ALTER TABLE ledger_checkpoints DROP CONSTRAINT ledger_checkpoints_size_check`, `ALTER TABLE ledger_signatures DROP CONSTRAINT ledger_signatures_log_size_fkey`, `ALTER TABLE ledger_checkpoints ALTER size TYPE text`}, verify.CheckpointUntrusted, "can't be read"},
		"a checkpoint":              {[]string{`UPDATE ledger_checkpoints SET note = (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 1000) AS i) WHERE size = 100`, killToast("ledger_checkpoints")}, verify.CheckpointUntrusted, "checkpoints of sizes above -1 can't be read"},
		"no tiles":                  {[]string{`DROP TABLE ledger_tiles`}, verify.SchemaAltered, "the table ledger_tiles is gone"},
		"no accounting":             {[]string{`DROP TABLE ingest_ranges`}, verify.SchemaAltered, "the table ingest_ranges is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if name == "a row" { // "a column of another type" also is a row that can't be read
				longtest.Only(t, "it has PostgreSQL write out a value of a gigabyte")
			}
			h := standard(t)
			if name == "a checkpoint" {
				h.needSurgery(t)
			}
			h.tamper(t, fmt.Sprintf(`UPDATE events SET version = 2 WHERE event_id = '%s'`, id(217)))
			h.tamper(t, test.sql...)
			report := h.verify(t)
			require.True(t, report.Complete)
			require.True(t, slices.ContainsFunc(found(report, test.kind), func(f verify.Finding) bool { return strings.Contains(f.Detail, test.says) }), show(report))
			require.Positive(t, report.Counts[verify.EventAltered]+report.Counts[verify.EventInserted], show(report))
			if name == "a row" || name == "a column of another type" {
				require.Equal(t, id(40), found(report, test.kind)[0].EventID)
				require.EqualValues(t, 40, *found(report, test.kind)[0].Position)
				names(t, report, verify.EventAltered, 217)
				require.Zero(t, report.Counts[verify.EventRemoved], show(report))
			}
		})
	}
}

// TestManyRowsThatCantBeRead: not each is tried, and what was not is told.
func TestManyRowsThatCantBeRead(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.tamper(t, `ALTER TABLE events ALTER kafka_partition TYPE bigint`, `UPDATE events SET kafka_partition = 1::bigint << 40 WHERE id & 1 = 0`)
	report := h.verify(t, func(o *verify.Options) { o.Workers, o.Findings = 1, 1000 })
	named := 0
	for _, f := range found(report, verify.EventUnreadable) {
		if f.EventID != "" {
			named++
			require.Equal(t, id(*f.Position), f.EventID)
		} else {
			require.Contains(t, f.Detail, "can't be read, and too many rows there")
		}
	}
	require.Equal(t, 200, named, show(report))
	require.Positive(t, report.Counts[verify.EventRemoved], show(report))
	for _, f := range found(report, verify.EventRemoved) {
		require.Contains(t, f.Detail, "or is among those that could not be examined")
	}
	require.EqualValues(t, 650, int64(named)+report.Counts[verify.EventRemoved]+h.fitting(t, report), "each row was looked at, or is told not to have been")
	require.Zero(t, report.Counts[verify.KeyAltered]+report.Counts[verify.KeyWithoutEvent]+report.Counts[verify.EventAltered], show(report))
}

// fitting is how many rows were read and have no finding.
func (h *history) fitting(t *testing.T, report *verify.Report) int64 {
	t.Helper()
	return report.Events - int64(len(slices.DeleteFunc(found(report, verify.EventUnreadable), func(f verify.Finding) bool { return f.EventID == "" })))
}

// needSurgery skips where PostgreSQL came without its contributed modules.
func (h *history) needSurgery(t *testing.T) {
	t.Helper()
	var there bool
	require.NoError(t, h.admin.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_available_extensions WHERE name = 'pg_surgery')`).Scan(&there))
	if !there {
		require.Empty(t, os.Getenv("CI"), "CI must have PostgreSQL's contributed modules")
		t.Skip("this PostgreSQL has no pg_surgery")
	}
	h.tamper(t, `CREATE EXTENSION pg_surgery`)
}

// killToast takes away where the oldest long value of a table lies, as a damaged disk does.
func killToast(table string) string {
	return fmt.Sprintf(`DO $$
		DECLARE
			toast regclass := (SELECT reltoastrelid FROM pg_class WHERE oid = '%s'::regclass);
			lines tid[];
		BEGIN
			EXECUTE format('SELECT array_agg(ctid) FROM %%s WHERE chunk_id = (SELECT min(chunk_id) FROM %%1$s)', toast) INTO lines;
			PERFORM heap_force_kill(toast, lines);
		END $$`, table)
}

// TestLeavesThatCantBeRead: rows are not called altered that were compared with nothing.
func TestLeavesThatCantBeRead(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.needSurgery(t)
	h.tamper(t, killToast("ledger_batches"))
	report := h.verify(t)
	require.True(t, report.Complete)
	require.Positive(t, report.Counts[verify.LedgerGap], show(report))
	require.Contains(t, found(report, verify.LedgerGap)[0].Detail, "can't be read")
	require.Positive(t, report.Counts[verify.LogAltered], show(report))
	require.Zero(t, report.Counts[verify.EventAltered]+report.Counts[verify.EventRemoved]+report.Counts[verify.EventInserted], show(report))
}

// TestManyKeysOfOneBatch: what somebody adds by the hundred thousand is not held in memory.
func TestManyKeysOfOneBatch(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.tamper(t, `INSERT INTO event_keys SELECT gen_random_uuid(), 2, now(), '\x01' FROM generate_series(1, 5)`)
	report := h.verify(t)
	require.EqualValues(t, 5, report.Counts[verify.KeyWithoutEvent], show(report))
	h.tamper(t, `INSERT INTO event_keys SELECT gen_random_uuid(), 2, now(), '\x01' FROM generate_series(1, 270000)`)
	report = h.verify(t)
	require.Zero(t, report.Counts[verify.KeyWithoutEvent], show(report))
	require.EqualValues(t, 1, report.Counts[verify.KeyAltered], show(report))
	require.Contains(t, found(report, verify.KeyAltered)[0].Detail, "too many differ")
}

// TestConnectionLost: what was found until then is told, and that it is not all.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.tamper(t, `DELETE FROM ledger_tiles WHERE first = 0`, fmt.Sprintf(`UPDATE events SET version = 2 WHERE event_id = '%s'`, id(217)))
	require.Positive(t, h.interrupted(t, h.keys, longtest.Choose[int64](t, 40_000, 6000)))
}

// TestInterruptedAfterARotation: what a later checkpoint covers is no finding where that was not come to.
func TestInterruptedAfterARotation(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.grow(t, 400)
	h.sign(t)
	key := newKey(t)
	for range 6 {
		h.grow(t, 400)
		h.sign(t, key)
	}
	require.Zero(t, h.interrupted(t, keysOf(t, key), longtest.Choose[int64](t, 100_000, 25_000)))
}

// interrupted verifies again and again, and cuts the connection so many bytes later each time. It answers how
// many of the runs that ended early had findings; they are findings of the whole run, too.
func (h *history) interrupted(t *testing.T, keys ledger.Keys, step int64) (partial int) {
	t.Helper()
	all := h.verify(t, func(o *verify.Options) { o.Keys = keys })
	for bytes := int64(500); ; bytes += step {
		var left atomic.Int64
		left.Store(bytes)
		config, err := pgx.ParseConfig(h.url)
		require.NoError(t, err)
		config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := new(net.Dialer).DialContext(ctx, network, address)
			return fuse{conn, &left}, err
		}
		report, err := verify.Run(t.Context(), verify.Options{Keys: keys, Workers: 1, Connect: func(ctx context.Context) (*pgx.Conn, error) {
			return pgx.ConnectConfig(ctx, config)
		}})
		if err == nil {
			require.Equal(t, all.Counts, report.Counts)
			return partial
		}
		if report == nil {
			continue
		}
		require.False(t, report.Complete)
		require.False(t, report.Intact)
		for kind := range report.Counts {
			require.Positive(t, all.Counts[kind], "%s: %s", kind, show(report))
		}
		if report.Total > 0 {
			partial++
		}
	}
}
