package verify_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
	"audittrail/modules/verify"
	"audittrail/platform/longtest"
)

// hostile are values of a column's type that no append writes, as SQL; $ stands for the column.
func hostile() map[string][]string {
	return map[string][]string{
		"bigint":                   {"NULL", "-1", "9223372036854775807", "-9223372036854775808", "4611686018427387904"},
		"integer":                  {"NULL", "-1", "2147483647", "-2147483648", "16385"},
		"smallint":                 {"NULL", "-1", "32767", "-32768"},
		"uuid":                     {"NULL", "'00000000-0000-0000-0000-000000000000'", "'ffffffff-ffff-ffff-ffff-ffffffffffff'"},
		"bytea":                    {"NULL", "''", "'\\x01'", "$ || '\\x00'", "decode(repeat('ab', 300000), 'hex')"},
		"bytea[]":                  {"NULL", "'{}'", "ARRAY[NULL]::bytea[]"},
		"text":                     {"NULL", "''", "'x'", "repeat('é', 300000)"},
		"varchar":                  {"NULL", "''", "'x'", "repeat('é', 255)"},
		"timestamp with time zone": {"NULL", "'-infinity'", "'infinity'", "'294276-01-01'", "'4713-01-01 BC'", "$ + interval '1 us'", "$ - interval '1 us'"},
		"jsonb": {"NULL", "'null'", "'[]'", "(repeat('[', 1000) || repeat(']', 1000))::jsonb", "'1e131071'",
			"(SELECT jsonb_agg(1e131071) FROM generate_series(1, 100))"},
	}
}

// cells are the tables of which each column is tried, and which row.
func cells() map[string]string {
	return map[string]string{
		"events":             "event_id = '" + id(40) + "'",
		"event_keys":         "event_id = '" + id(40) + "'",
		"ledger_batches":     "batch = 2",
		"ledger_tiles":       "level = 1 AND first = 1",
		"ledger_checkpoints": "size = 300",
		"ledger_signatures":  "true",
		"ingest_ranges":      "batch = 2",
		"ingest_offsets":     "true",
		"ingest_admissions":  "true",
		"dead_letters":       "true",
		"dead_letter_outbox": "true",
		"access_log":         "id = 1 << 14",
		"ledger_pending":     "true",
	}
}

// harmless are the cells, or their values, that the verification lets pass, and why.
func harmless() map[string]string {
	const (
		wider      = "bounds of what to read, not of what there is: wider ones cost a look into more partitions"
		unsaid     = "it says when the row was written; nothing is derived from it, and nothing is signed that it could contradict"
		state      = "state, not history: it is changed by every batch"
		cut        = "state, not history: it says that ingest waits for an admission, not what was stored"
		deadLetter = "the bytes of what could not become an event are in no ledger"
	)
	return map[string]string{
		"ledger_batches.earliest '-infinity'":         wider,
		"ledger_batches.earliest '4713-01-01 BC'":     wider,
		"ledger_batches.earliest $ - interval '1 us'": wider,
		"ledger_batches.latest 'infinity'":            wider,
		"ledger_batches.latest '294276-01-01'":        wider,
		"ledger_batches.latest $ + interval '1 us'":   wider,
		"ledger_checkpoints.signed_at":                unsaid,
		"ledger_signatures.signed_at":                 unsaid,
		"ledger_signatures.signer":                    "the line names its key itself",
		"ingest_ranges.recorded_at":                   unsaid,
		"ingest_offsets.updated_at":                   state,
		"ingest_offsets.leader_epoch":                 state,
		"ingest_offsets.cut_end":                      cut,
		"ingest_offsets.cut_at":                       cut,
		"ingest_admissions.number":                    "their order; there is one",
		"ingest_admissions.admitted_at":               unsaid,
		"ingest_admissions.admitted_by":               unsaid,
		"ingest_admissions.reason":                    unsaid,
		"dead_letters.received_at":                    deadLetter,
		"dead_letters.topic":                          deadLetter,
		"dead_letters.sealed_by":                      deadLetter,
		"dead_letters.field":                          deadLetter,
		"dead_letters.detail":                         deadLetter,
		"dead_letters.key":                            deadLetter,
		"dead_letters.value":                          deadLetter,
		"dead_letters.value_length":                   deadLetter,
		"dead_letters.value_sha256":                   deadLetter,
		"dead_letters.header_keys":                    deadLetter,
		"dead_letters.header_values":                  deadLetter,
		"dead_letters.record_time":                    deadLetter,
		"dead_letter_outbox.published_at":             state,
		"ledger_pending.recorded_at":                  state,
		"ledger_pending.earliest":                     state,
		"ledger_pending.latest":                       state,
	}
}

// TestHostileCells: whatever stands in one cell, the verification comes to its end, and says that
// something does not fit unless it makes no difference to history. A quick run tries one value of every other
// cell. It measures memory, so no other test runs beside it.
func TestHostileCells(t *testing.T) {
	allowed := harmless()
	for table, row := range cells() {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			h := defenceless(t)
			require.True(t, h.verify(t).Intact, show(h.verify(t)))
			for _, column := range h.columns(t, table) {
				values, ok := hostile()[column.kind]
				require.True(t, ok, "no hostile values of type %s, of column %s.%s", column.kind, table, column.name)
				if one := rand.IntN(2 * len(values)); !longtest.Choose(t, false, true) {
					values = values[min(one, len(values)):min(one+1, len(values))] // each finds its turn
				}
				for _, value := range values {
					cell := table + "." + column.name
					report := h.withCell(t, table, row, column, value)
					if report == nil {
						continue // PostgreSQL itself has no place for it
					}
					if allowed[cell] != "" || allowed[cell+" "+value] != "" {
						require.True(t, report.Intact, "%s = %s is noticed: it needs no exception", cell, value)
						continue
					}
					require.False(t, report.Intact, "%s = %s", cell, value)
				}
			}
			report := h.verify(t)
			require.True(t, report.Intact, show(report))
		})
	}
}

type column struct{ name, kind string }

func (h *history) columns(t *testing.T, table string) []column {
	t.Helper()
	rows, err := h.admin.Query(t.Context(), `SELECT attname, regexp_replace(format_type(atttypid, atttypmod), '^character varying.*', 'varchar')
		FROM pg_attribute WHERE attrelid = $1::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum`, table)
	require.NoError(t, err)
	columns, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (c column, err error) {
		return c, row.Scan(&c.name, &c.kind)
	})
	require.NoError(t, err)
	require.NotEmpty(t, columns)
	return columns
}

// withCell verifies with another value in a cell, and puts the former one back. The report is nil where
// PostgreSQL does not take the value.
func (h *history) withCell(t *testing.T, table, row string, c column, value string) *verify.Report {
	t.Helper()
	quoted := pgx.Identifier{c.name}.Sanitize()
	var was *string
	var same bool
	value = strings.ReplaceAll(value, "$", quoted)
	err := h.admin.QueryRow(t.Context(), fmt.Sprintf(`SELECT %s::text, %[1]s IS NOT DISTINCT FROM (%s) FROM %s WHERE %s`, quoted, value, table, row)).Scan(&was, &same)
	require.NoError(t, err, "%s.%s = %s", table, c.name, value)
	if same {
		return nil
	}
	var place, line string
	err = h.admin.QueryRow(t.Context(), fmt.Sprintf(`UPDATE %s SET %s = %s WHERE %s RETURNING tableoid::regclass::text, ctid::text`, table, quoted, value, row)).Scan(&place, &line)
	if err != nil {
		require.Regexp(t, "no partition of relation|index row size", err.Error())
		return nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	report, err := verify.Run(t.Context(), verify.Options{Keys: h.keys, Workers: 1, Connect: h.connect(t)})
	runtime.ReadMemStats(&after)
	require.NoError(t, err, "%s.%s = %s", table, c.name, value)
	require.True(t, report.Complete)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<30), "%s.%s = %s", table, c.name, value)
	tag, err := h.admin.Exec(t.Context(), fmt.Sprintf(`UPDATE %s SET %s = $1::text::%s WHERE tableoid = $2::text::regclass AND ctid = $3::text::tid`, table, quoted, c.kind), was, place, line)
	require.NoError(t, err)
	require.EqualValues(t, 1, tag.RowsAffected())
	return report
}

func (h *history) connect(t testing.TB) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.Connect(ctx, migratetest.AsRole(t, h.url, "audittrail_maintain"))
	}
}

// defenceless is a small store with something in every table, and without triggers and constraints.
func defenceless(t *testing.T) *history {
	t.Helper()
	h := newHistory(t)
	for _, count := range []int64{30, 270, 400} {
		h.grow(t, count)
		h.sign(t)
	}
	h.cosign(t, 300)
	h.reject(t)
	h.accesses(t, 2, 3, 1)
	h.signLog(t, ledger.Access, h.key)
	admitted, err := h.append.Admit(t.Context(), store.Admission{Partition: partition(), To: h.next + 5, Reason: "retention was too short", By: "ana"})
	require.NoError(t, err)
	require.Equal(t, h.next, admitted.From)
	h.next += 5
	h.tamper(t, `DO $$
		DECLARE c record;
		BEGIN
			FOR c IN SELECT attname AS conname, attrelid::regclass AS name FROM pg_attribute JOIN pg_class r ON r.oid = attrelid
				WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p') AND attidentity <> '' LOOP
				EXECUTE format('ALTER TABLE %s ALTER %I DROP IDENTITY', c.name, c.conname);
			END LOOP;
			FOR c IN SELECT conname, conrelid::regclass AS name FROM pg_constraint
				WHERE connamespace = 'public'::regnamespace AND coninhcount = 0 AND conrelid <> 0 ORDER BY contype = 'p' LOOP
				EXECUTE format('ALTER TABLE %s DROP CONSTRAINT IF EXISTS %I CASCADE', c.name, c.conname);
			END LOOP;
			FOR c IN SELECT attname AS conname, attrelid::regclass AS name FROM pg_attribute JOIN pg_class r ON r.oid = attrelid
				WHERE r.relnamespace = 'public'::regnamespace AND r.relkind IN ('r', 'p') AND NOT r.relispartition AND attnum > 0 AND attnotnull LOOP
				EXECUTE format('ALTER TABLE %s ALTER %I DROP NOT NULL', c.name, c.conname);
			END LOOP;
		END $$`)
	return h
}

// cosign adds the signature of a second key to a checkpoint.
func (h *history) cosign(t *testing.T, size int64) {
	t.Helper()
	second := newKey(t)
	h.keys = keysOf(t, h.key, second)
	var text string
	require.NoError(t, h.admin.QueryRow(t.Context(), `SELECT note FROM ledger_checkpoints WHERE size = $1`, size).Scan(&text))
	checkpoint, err := ledger.ParseCheckpoint(text[:strings.Index(text, "\n\n")+1])
	require.NoError(t, err)
	signed := string(noteOf(t, checkpoint, second))
	line := strings.TrimSpace(signed[strings.Index(signed, "\n\n"):])
	require.NoError(t, store.NewLedger(h.admin, ledger.Events).AddSignatures(t.Context(), size, []store.Signature{{Signer: "second", Line: line}}, time.Now()))
}

// reject appends a record that can't become an event, and nothing else.
func (h *history) reject(t *testing.T) {
	t.Helper()
	_, rejected := event.Decode(event.Raw{Coordinates: event.Coordinates{TopicID: topicID, Topic: "orders", Offset: h.next}, Value: []byte("{"),
		Key: []byte("k"), Headers: []event.Header{{Key: "h", Value: []byte("v")}}})
	require.NotNil(t, rejected)
	_, err := h.append.Append(t.Context(), store.Batch{Ranges: []store.Range{{Partition: partition(), From: h.next, To: h.next + 1}}, Rejected: []event.Rejected{*rejected}})
	require.NoError(t, err)
	h.next++
}
