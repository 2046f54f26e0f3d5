package verify_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/verify"
)

// TestIndexesThatTellAnotherStory: the event as it was stands in the indexes that a walk by time would be
// answered from, its forged version in all others, and the planner is given reasons to use the former. It has a
// server of its own, whose tablespace it spoils.
func TestIndexesThatTellAnotherStory(t *testing.T) {
	t.Parallel()
	h := historyAt(t, migratetest.Server(t).URL(), newKey(t))
	h.grow(t, 100)
	h.grow(t, 200)
	h.sign(t)
	var database, partition string
	require.NoError(t, h.admin.QueryRow(t.Context(), `SELECT current_database(), tableoid::regclass::text FROM events WHERE event_id = $1`, id(217)).Scan(&database, &partition))
	ready := func(mine, others bool) string {
		return fmt.Sprintf(`UPDATE pg_index SET indisready = CASE WHEN indexrelid::regclass::text IN ('%[1]s_timestamp_idx', '%[1]s_expr_kafka_topic_kafka_partition_idx')
			THEN %[2]t ELSE %[3]t END WHERE indrelid = '%[1]s'::regclass`, partition, mine, others)
	}
	h.tamper(t, `CREATE INDEX ON events (timestamp)`, `CREATE INDEX ON events ((id >> 14), kafka_topic, kafka_partition)`,
		fmt.Sprintf(`CREATE TABLE kept AS SELECT * FROM events WHERE event_id = '%s'`, id(217)),
		fmt.Sprintf(`DELETE FROM events WHERE event_id = '%s'`, id(217)),
		`SET allow_system_table_mods = on`,
		ready(true, false), `INSERT INTO events SELECT * FROM kept`,
		`UPDATE kept SET payload = '{"total": 1000000}'`,
		ready(false, true), `INSERT INTO events SELECT * FROM kept`,
		ready(true, true), `RESET allow_system_table_mods`, `DROP TABLE kept`,
		`ALTER DATABASE `+database+` SET seq_page_cost = 1e9`, `ALTER DATABASE `+database+` SET random_page_cost = 1`,
		`ALTER TABLESPACE pg_default SET (seq_page_cost = 1e13, random_page_cost = 0.001)`)
	report := h.verify(t)
	names(t, report, verify.EventInserted, 217)
	require.EqualValues(t, 1, report.Counts[verify.EventInserted], show(report))
}

// TestRowsOutsideTheirPartition: a partition takes only rows of its own times, unless somebody lies to the
// catalogue.
func TestRowsOutsideTheirPartition(t *testing.T) {
	t.Parallel()
	among := func(t *testing.T, statement string) *verify.Report {
		h := standard(t)
		h.tamper(t, `ALTER TABLE events DETACH PARTITION events_2020`, statement,
			`SET allow_system_table_mods = on`,
			`ALTER TABLE events_2020 ADD CONSTRAINT c CHECK (timestamp IS NOT NULL AND timestamp >= '2020-01-01 00:00:00+00' AND timestamp < '2021-01-01 00:00:00+00') NOT VALID`,
			`UPDATE pg_constraint SET convalidated = true WHERE conname = 'c'`, `RESET allow_system_table_mods`,
			`ALTER TABLE events ATTACH PARTITION events_2020 FOR VALUES FROM ('2020-01-01 00:00:00+00') TO ('2021-01-01 00:00:00+00')`)
		return h.verify(t)
	}
	t.Run("a forged one", func(t *testing.T) {
		t.Parallel()
		const forged = "ffffffff-0000-4000-8000-000000000000"
		report := among(t, `INSERT INTO events_2020 SELECT id, timestamp - interval '3 years', created_at, kafka_offset, kafka_partition, version, '`+forged+`',
			event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata FROM events_2020 ORDER BY id LIMIT 1`)
		inserted := found(report, verify.EventInserted)
		require.Len(t, inserted, 1, show(report))
		require.Equal(t, forged, inserted[0].EventID)
	})
	t.Run("an event, out of reach", func(t *testing.T) {
		t.Parallel()
		n := int64(-1)
		for i := range int64(650) {
			if at(i).Year() == 2019 {
				n = i
				break
			}
		}
		require.NotEqual(t, int64(-1), n)
		report := among(t, fmt.Sprintf(`WITH taken AS (DELETE FROM events WHERE event_id = '%s' RETURNING *) INSERT INTO events_2020 SELECT * FROM taken`, id(n)))
		names(t, report, verify.EventMoved, n)
		require.EqualValues(t, 1, report.Counts[verify.EventMoved], show(report))
		require.Contains(t, found(report, verify.EventMoved)[0].Detail, "events_2020")
	})
}
