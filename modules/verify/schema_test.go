package verify_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/verify"
)

// TestTablesThatHideRows: what is read is not all that is there, or something else.
func TestTablesThatHideRows(t *testing.T) {
	t.Parallel()
	const detached = `ALTER TABLE events DETACH PARTITION events_2020`
	const bounds = ` FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2021-01-01 00:00:00+00')`
	for name, test := range map[string]struct {
		sql  []string
		says string
		gone bool // rows are not found any more
	}{
		"a partition that is partitioned": {[]string{detached, `CREATE TABLE below (LIKE events INCLUDING ALL) PARTITION BY RANGE (timestamp)`,
			`ALTER TABLE below ATTACH PARTITION events_2020` + bounds, `ALTER TABLE events ATTACH PARTITION below` + bounds}, "the partition below of events", true},
		"a foreign partition": {[]string{detached, `CREATE FOREIGN DATA WRAPPER nothing`, `CREATE SERVER nowhere FOREIGN DATA WRAPPER nothing`,
			// a foreign partition has no unique keys
			`ALTER TABLE events DROP CONSTRAINT events_pkey`, `CREATE FOREIGN TABLE far PARTITION OF events` + bounds + ` SERVER nowhere`}, "a foreign table", true},
		"a partition for the rest": {[]string{`ALTER TABLE event_keys DISABLE TRIGGER ALL`, `CREATE TABLE rest PARTITION OF events DEFAULT`}, "its bounds are not two times", false},
		"row security": {[]string{`ALTER TABLE events ENABLE ROW LEVEL SECURITY`,
			fmt.Sprintf(`CREATE POLICY p ON events USING (event_id <> '%s')`, id(217))}, "the table events has row security", false},
		"row security of a partition": {[]string{`ALTER TABLE events_2020 ENABLE ROW LEVEL SECURITY`,
			`CREATE POLICY p ON events_2020 USING (false)`}, "the partition events_2020 of events", true},
		"row security of the ledger": {[]string{`ALTER TABLE ledger_checkpoints ENABLE ROW LEVEL SECURITY`, `CREATE POLICY p ON ledger_checkpoints USING (true)`},
			"the table ledger_checkpoints has row security", false},
		"a table that inherits": {[]string{`CREATE TABLE more () INHERITS (ledger_tiles)`}, "other tables inherit from ledger_tiles", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, test.sql...)
			require.True(t, report.Complete)
			odd := found(report, verify.SchemaAltered)
			require.Len(t, odd, 1, show(report))
			require.Contains(t, odd[0].Detail, test.says)
			require.Equal(t, test.gone, report.Counts[verify.EventRemoved] > 0, show(report))
		})
	}
}

// TestAViewInATablesPlace: what may answer for ever is not asked.
func TestAViewInATablesPlace(t *testing.T) {
	t.Parallel()
	for table, from := range map[string]string{"event_keys": "pg_sleep(1e6)", "ledger_checkpoints": "generate_series(1, 1e18)", "ledger_batches": "pg_sleep(1e6)"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			h := standard(t)
			known := h.sign(t)
			h.tamper(t, `ALTER TABLE `+table+` RENAME TO kept`, `CREATE VIEW `+table+` AS SELECT kept.* FROM kept, `+from, `GRANT SELECT ON `+table+` TO PUBLIC`)
			report, err := verify.Run(t.Context(), verify.Options{Keys: h.keys, Workers: 2, Outside: []verify.Outside{{Source: "my drawer", Note: known, Previous: 630}}, Connect: func(ctx context.Context) (*pgx.Conn, error) {
				return pgx.Connect(ctx, migratetest.AsRole(t, h.url, "audittrail_maintain"))
			}})
			require.ErrorContains(t, err, "something else is in the place of a table")
			require.False(t, report.Complete)
			require.Contains(t, show(report), table+" is not the table that it was made as, but a view")
		})
	}
}

// TestSettingsOfTheDatabase: whoever may alter the database gives sessions what settings they like.
func TestSettingsOfTheDatabase(t *testing.T) {
	t.Parallel()
	h := standard(t)
	var name string
	require.NoError(t, h.admin.QueryRow(t.Context(), `SELECT current_database()`).Scan(&name))
	h.tamper(t, `CREATE SCHEMA evil`, `GRANT USAGE ON SCHEMA evil TO PUBLIC`)
	for _, table := range []string{"event_keys", "ledger_batches", "ledger_tiles", "ledger_checkpoints", "ingest_ranges", "ingest_offsets"} {
		h.tamper(t, fmt.Sprintf(`CREATE TABLE evil.%s AS TABLE public.%[1]s`, table), fmt.Sprintf(`GRANT SELECT ON evil.%s TO PUBLIC`, table))
	}
	for _, setting := range []string{
		`search_path = evil, public`, `datestyle = 'German'`, `timezone = 'Asia/Tokyo'`, `bytea_output = 'escape'`, `row_security = off`,
		`exit_on_error = on`, `transform_null_equals = on`, `standard_conforming_strings = off`, `client_encoding = 'LATIN1'`, `intervalstyle = 'sql_standard'`,
	} {
		h.tamper(t, fmt.Sprintf(`ALTER DATABASE %s SET %s`, name, setting))
	}
	report := h.verify(t)
	require.True(t, report.Intact, show(report))
	// What the other schema has in its place is still as it was.
	h.tamper(t, fmt.Sprintf(`DELETE FROM public.event_keys WHERE event_id = '%s'`, id(217)),
		`UPDATE public.ledger_tiles SET hashes = set_byte(hashes, 0, 255 - get_byte(hashes, 0)) WHERE first = 1`, fmt.Sprintf(`UPDATE public.events SET version = 2 WHERE event_id = '%s'`, id(5)))
	report = h.verify(t)
	names(t, report, verify.KeyMissing, 217)
	names(t, report, verify.EventAltered, 5)
	require.EqualValues(t, 1, report.Counts[verify.TileAltered], show(report))
}
