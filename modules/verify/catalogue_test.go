package verify_test

import (
	"crypto/rand"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/verify"
)

// TestFunctionsOfSomebodyElse: whoever makes functions, casts and operators can't have an altered event
// read as it was, and what reaches the statements of a verification is reported.
func TestFunctionsOfSomebodyElse(t *testing.T) {
	t.Parallel()
	paid := fmt.Sprintf(`UPDATE events SET payload = '{"total": 1000000}' WHERE event_id = '%s'`, id(217))
	refunded := fmt.Sprintf(`UPDATE events SET event_type = 'OrderRefunded' WHERE event_id = '%s'`, id(217))
	for name, test := range map[string]struct {
		sql  []string
		says string // "" where it has no way to reach a statement
	}{
		"a cast": {[]string{
			`CREATE FUNCTION spell(p jsonb) RETURNS text LANGUAGE plpgsql STABLE AS $f$ BEGIN
				IF p @> '{"total": 1000000}' THEN RETURN '{"lines": [{"sku": "a", "quantity": 2}], "total": 217.50}'; END IF; RETURN textin(jsonb_out(p)); END $f$`,
			`CREATE CAST (jsonb AS text) WITH FUNCTION spell(jsonb)`, paid}, "the cast of jsonb to text"},
		"a function in public": {[]string{
			`CREATE FUNCTION public.jsonb_send(p jsonb) RETURNS bytea LANGUAGE sql IMMUTABLE AS $f$ SELECT '\x017b7d'::bytea $f$`, paid}, ""},
		"a function in the catalogue": {[]string{
			`CREATE FUNCTION pg_catalog.unnest(text[]) RETURNS SETOF text LANGUAGE sql STABLE AS 'SELECT NULL::text WHERE false'`, paid}, "a function unnest"},
		"a function of the catalogue": {[]string{
			`CREATE OR REPLACE FUNCTION pg_catalog."left"(text, int) RETURNS text LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS
				$f$ SELECT CASE WHEN $1 OPERATOR(pg_catalog.=) 'OrderRefunded' THEN 'OrderPlaced' ELSE $1 END $f$`, refunded}, "function left was replaced"},
		"an operator in the catalogue": {[]string{
			paid, `SET allow_system_table_mods = on`,
			`CREATE FUNCTION always(uuid, uuid) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true'`,
			`CREATE OPERATOR pg_catalog.=== (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = always)`,
			`UPDATE pg_operator SET oprcode = 'always'::regproc WHERE oprname = '===' OR oprname = '=' AND oprleft = 'uuid'::regtype AND oprright = 'uuid'::regtype`,
			`RESET allow_system_table_mods`}, "an operator ="},
		"a type's own functions": {[]string{
			`SET allow_system_table_mods = on`,
			`CREATE FUNCTION send(jsonb) RETURNS bytea LANGUAGE internal IMMUTABLE STRICT AS 'jsonb_send'`,
			`UPDATE pg_type SET typsend = 'send'::regproc WHERE typname = 'jsonb'`, `RESET allow_system_table_mods`, paid}, "values of jsonb"},
		"a column of another type": {[]string{
			`CREATE DOMAIN label AS text COLLATE "C"`, `ALTER TABLE events ALTER event_type TYPE label`,
			`CREATE FUNCTION public."left"(v label, n int) RETURNS text LANGUAGE sql STABLE AS
				$f$ SELECT CASE WHEN v::text = 'OrderRefunded' THEN 'OrderPlaced' ELSE v::text END $f$`, refunded}, "events.event_type is of type public.label"},
		"a column that is computed": {[]string{
			`ALTER TABLE ingest_offsets DROP COLUMN topic`, `ALTER TABLE ingest_offsets ADD topic text COLLATE "C" GENERATED ALWAYS AS ('orders') STORED`, paid}, "ingest_offsets.topic is generated"},
		"functions for types of one's own": {[]string{
			`CREATE TYPE money_of AS (amount numeric, currency text)`,
			`CREATE FUNCTION pg_catalog."left"(money_of, int) RETURNS text LANGUAGE sql AS 'SELECT NULL::text'`, paid}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, test.sql...)
			names(t, report, verify.EventAltered, 217)
			if odd := found(report, verify.SchemaAltered); test.says == "" {
				require.Empty(t, odd)
			} else {
				require.NotEmpty(t, odd, show(report))
				require.Contains(t, show(report), test.says)
			}
		})
	}
}

// TestTwoRowsOfOneBatch: of a table whose indexes were tampered with, a walk by position reads the row that
// was signed, and a look by batch another one, which an altered event fits.
func TestTwoRowsOfOneBatch(t *testing.T) {
	t.Parallel()
	h := standard(t)
	h.tamper(t, fmt.Sprintf(`UPDATE events SET version = 7 WHERE event_id = '%s'`, id(217)))
	e := h.event(t, 217)
	leaf := ledger.EventLeaf(&e)
	const byBatch, byPosition = "ledger_batches_log_batch_key", "ledger_batches_pkey"
	ready := func(index string, on bool) string {
		return fmt.Sprintf(`UPDATE pg_index SET indisready = %v WHERE indexrelid = '%s'::regclass`, on, index)
	}
	h.tamper(t, fmt.Sprintf(`UPDATE event_keys SET digest = '\x%x' WHERE event_id = '%s'`, h.digest(t, 217), id(217)),
		`SET allow_system_table_mods = on`,
		`CREATE TABLE kept AS SELECT * FROM ledger_batches WHERE log = 'events' AND 217 >= first_position AND 217 < first_position + count`,
		`DELETE FROM ledger_batches WHERE batch = (SELECT batch FROM kept)`,
		ready(byBatch, false), `INSERT INTO ledger_batches SELECT * FROM kept`, ready(byBatch, true),
		fmt.Sprintf(`UPDATE kept SET leaves = overlay(leaves placing '\x%x'::bytea from (1 + 32 * (217 - first_position))::int)`, leaf[:]),
		ready(byPosition, false), `INSERT INTO ledger_batches SELECT * FROM kept`, ready(byPosition, true),
		`DROP TABLE kept`, `RESET allow_system_table_mods`)
	report := h.verify(t)
	names(t, report, verify.EventAltered, 217)
}

// TestTilesThatAreGone, where no later tile shows it.
func TestTilesThatAreGone(t *testing.T) {
	t.Parallel()
	for name, sql := range map[string]string{
		"all":           `DELETE FROM ledger_tiles`,
		"the last part": `DELETE FROM ledger_tiles WHERE (level, tile, first) = (SELECT level, tile, first FROM ledger_tiles ORDER BY 1, 2, 3 DESC LIMIT 1)`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := tampered(t, sql)
			require.EqualValues(t, 1, report.Total, show(report))
			gone := found(report, verify.TileAltered)
			require.Len(t, gone, 1, show(report))
			require.EqualValues(t, 512, *gone[0].End)
		})
	}
}

// TestDigestsThatWereTaken: an event without a digest can be stored again with another content, and nobody
// would be told.
func TestDigestsThatWereTaken(t *testing.T) {
	t.Parallel()
	for _, digest := range []string{`'\x00'`, `decode(repeat('00', 5000), 'hex')`, `'\x'`, `set_byte(digest, 0, 2)`} {
		report := tampered(t, fmt.Sprintf(`UPDATE event_keys SET digest = %s WHERE event_id = '%s'`, digest, id(217)))
		names(t, report, verify.KeyAltered, 217)
		require.EqualValues(t, 1, report.Total, show(report))
	}
}

// TestTextsWithoutEnd are read as far as anybody has to read them.
func TestTextsWithoutEnd(t *testing.T) {
	t.Parallel()
	report := tampered(t, `ALTER TABLE ledger_tiles DROP CONSTRAINT ledger_tiles_pkey, DROP CONSTRAINT ledger_tiles_check, DROP CONSTRAINT IF EXISTS ledger_tiles_log_check`,
		`INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES (repeat('x', 1000000), 1, 0, 0, '')`,
		`UPDATE ingest_offsets SET topic = repeat('y', 1000000), next_offset = next_offset + 1`)
	require.Positive(t, report.Counts[verify.TileAltered], show(report))
	require.Positive(t, report.Counts[verify.Accounting], show(report))
	require.Less(t, len(show(report)), 20_000)
}

// TestAnotherLedgersDatabase is told of each of its checkpoints.
func TestAnotherLedgersDatabase(t *testing.T) {
	t.Parallel()
	h := standard(t)
	other, err := ledger.GenerateKey("other.example.com/test", rand.Reader)
	require.NoError(t, err)
	report := h.verify(t, func(o *verify.Options) { o.Keys = keysOf(t, other) })
	require.Len(t, found(report, verify.CheckpointUntrusted), 3, show(report))
	require.Contains(t, found(report, verify.CheckpointUntrusted)[2].Detail, "checkpoint of size 630 can't be trusted: it is signed for another ledger: "+origin)
}
