package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
	"audittrail/modules/store/audit"
)

// filled is a store with two partitions, three batches, duplicates, dead letters and absent offsets.
func filled(t *testing.T) testStore {
	t.Helper()
	s := newStore(t)
	s.begin(t, 2)
	appends := []store.Batch{
		batch(t, map[int]int64{0: 0, 1: 0}, map[int]int64{0: 4, 1: 3},
			record(0, 0, id(1), 1), record(0, 1, id(2), 2), raw(0, 2, "{"), record(0, 3, id(1), 1),
			record(1, 0, id(3), 3), record(1, 2, id(4), 4)),
		one(t, 4, record(0, 4, id(5), 5), record(0, 5, id(6), 6), record(0, 6, id(2), 99)),
		one(t, 7, raw(0, 7, "no"), record(0, 8, id(5), 5)),
		one(t, 9, record(0, 9, id(7), 7)),
	}
	for _, b := range appends {
		_, err := s.Append(t.Context(), b)
		require.NoError(t, err)
	}
	return s
}

func TestReconcileBalances(t *testing.T) {
	t.Parallel()
	s := filled(t)
	r, err := audit.Reconcile(t.Context(), openPool(t, s.url, "audittrail_maintain"), nil)
	require.NoError(t, err)
	require.Empty(t, r.Discrepancies)
	require.True(t, r.Balanced())
	require.Equal(t, audit.Account{Offsets: 13, Stored: 7, Duplicates: 2, DeadLettered: 3, Absent: 1}, r.Total)
	require.Len(t, r.Partitions, 2)
	require.Equal(t, audit.PartitionAccount{
		Topic: topic, Partition: 1, FirstOffset: 0, NextOffset: 3,
		Account: audit.Account{Offsets: 3, Stored: 2, Absent: 1},
	}, r.Partitions[1])
}

func TestReconcileOfAnEmptyStoreBalances(t *testing.T) {
	t.Parallel()
	r, err := audit.Reconcile(t.Context(), newStore(t).owner, nil)
	require.NoError(t, err)
	require.True(t, r.Balanced())
	require.Zero(t, r.Total)
}

// Each kind of damage, done as only a superuser can, is found by the check that is named for it.
func TestReconcileFindsTampering(t *testing.T) {
	t.Parallel()
	const lastRange = `topic_id = $1 AND partition = 0 AND from_offset = 9`
	cases := []struct {
		name   string
		damage string // $1 is the topic id where it is used
		check  string
		where  string // of the discrepancy, as "topic/partition [from, to)" or "batch"
	}{
		{"a range is gone", `DELETE FROM ingest_ranges WHERE topic_id = $1 AND partition = 0 AND from_offset = 7`, "range_gap", "orders/0 [7, 9)"},
		{"the first range is gone", `DELETE FROM ingest_ranges WHERE topic_id = $1 AND partition = 0 AND from_offset = 0`, "range_first", "orders/0 [0, 4)"},
		{"the last range is gone", `DELETE FROM ingest_ranges WHERE ` + lastRange, "range_last", "orders/0 [9, 10)"},
		{"all ranges of a partition are gone", `DELETE FROM ingest_ranges WHERE topic_id = $1 AND partition = 1`, "range_last", "orders/1 [0, 3)"},
		{"a range reaches into the next", `UPDATE ingest_ranges SET to_offset = 8, absent = absent + 1 WHERE topic_id = $1 AND partition = 0 AND from_offset = 4`, "range_overlap", "orders/0 [7, 8)"},
		{"a range that was never read", `INSERT INTO ingest_ranges SELECT topic_id, 7, 0, 0, 5, 5, 0, 0, NULL, now() FROM ingest_offsets WHERE topic_id = $1 LIMIT 1`, "range_unknown_partition", "/7 [0, 5)"},
		{"a range's sum is wrong", `UPDATE ingest_ranges SET duplicates = duplicates + 1 WHERE ` + lastRange, "range_sum", "orders/0 [9, 10)"},
		{"the next offset was moved on", `UPDATE ingest_offsets SET next_offset = 20 WHERE topic_id = $1 AND partition = 0`, "range_last", "orders/0 [10, 20)"},
		{"an event is gone", `DELETE FROM events WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "range_events", "orders/0 [9, 10)"},
		{"an event of a batch is gone", `DELETE FROM events WHERE kafka_partition = 0 AND kafka_offset = 4 AND $1::uuid IS NOT NULL`, "batch_events", "batch"},
		{"an event was slipped in", `INSERT INTO events SELECT id + 1, timestamp, created_at, 99, kafka_partition, version, gen_random_uuid(), event_type, aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata FROM events WHERE kafka_offset = 9 AND $1::uuid IS NOT NULL`, "batch_events", "batch"},
		{"an event changed its offset", `UPDATE events SET kafka_offset = 77 WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "range_event_offsets", "orders/0 [9, 78)"},
		{"an event changed its partition", `UPDATE events SET kafka_partition = 1 WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "range_events", "orders/0 [9, 10)"},
		{"an event changed its id", `UPDATE events SET event_id = gen_random_uuid() WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "event_ids", "batch"},
		{"an event changed its time", `UPDATE events SET timestamp = timestamp + interval '1 microsecond' WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "event_ids", "batch"},
		{"an event left its batch's bounds", `UPDATE events SET timestamp = timestamp - interval '1 day' WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "batch_bounds", "batch"},
		{"an event was numbered anew", `UPDATE events SET id = id + 5 WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "event_indexes", "batch"},
		{"an event was recorded later", `UPDATE events SET created_at = created_at + interval '1 hour' WHERE kafka_partition = 0 AND kafka_offset = 9 AND $1::uuid IS NOT NULL`, "batch_recorded_at", "batch"},
		{"an event key is gone", fmt.Sprintf(`DELETE FROM event_keys WHERE event_id = '%s' AND $1::uuid IS NOT NULL`, id(7)), "batch_keys", "batch"},
		{"a ledger batch is gone", `DELETE FROM ledger_batches WHERE first_position > 0 AND first_position < 6 AND $1::uuid IS NOT NULL`, "positions", "batch"},
		{"a ledger batch was moved", `UPDATE ledger_batches SET first_position = 100 WHERE first_position = 6 AND $1::uuid IS NOT NULL`, "positions", "batch"},
		{"the first ledger batch is gone", `DELETE FROM ledger_batches WHERE first_position = 0 AND $1::uuid IS NOT NULL`, "positions", "batch"},
		{"a ledger batch counts more", `UPDATE ledger_batches SET count = 2, leaves = leaves || leaves WHERE first_position = 6 AND $1::uuid IS NOT NULL`, "batch_events", "batch"},
		{"a dead letter is gone", `WITH b AS (DELETE FROM dead_letter_outbox) DELETE FROM dead_letters WHERE topic_id = $1 AND "offset" = 2`, "range_dead_letters", "orders/0 [0, 4)"},
		{"a dead letter of nowhere", `UPDATE dead_letters SET "offset" = 55 WHERE topic_id = $1 AND "offset" = 2`, "dead_letter_range", "orders/0 [55, 56)"},
		{"a dead letter is not queued", `DELETE FROM dead_letter_outbox WHERE $1::uuid IS NOT NULL AND dead_letter_id = (SELECT id FROM dead_letters WHERE "offset" = 2)`, "dead_letter_outbox", "orders/0 [2, 3)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := filled(t)
			s.tamper(t, c.damage)
			r, err := audit.Reconcile(t.Context(), s.owner, nil)
			require.NoError(t, err)
			require.False(t, r.Balanced())
			var found []string
			for _, d := range r.Discrepancies {
				place := "batch"
				if d.From != nil {
					place = fmt.Sprintf("%s/%d [%d, %d)", d.Topic, *d.Partition, *d.From, *d.To)
				}
				found = append(found, d.Check+" "+place)
				require.NotEqual(t, d.Expected, d.Found, "%+v", d)
			}
			require.Contains(t, found, c.check+" "+c.where)
		})
	}
}

// tamper changes history as a superuser can who switches the triggers and constraints off first.
func (s testStore) tamper(t *testing.T, damage string) {
	t.Helper()
	tx, err := s.owner.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(t.Context())
	for _, sql := range []string{
		`ALTER TABLE events DISABLE TRIGGER ALL`, `ALTER TABLE event_keys DISABLE TRIGGER ALL`,
		`ALTER TABLE ledger_batches DISABLE TRIGGER ALL`, `ALTER TABLE ingest_ranges DISABLE TRIGGER ALL`,
		`ALTER TABLE dead_letters DISABLE TRIGGER ALL`, `ALTER TABLE ingest_ranges DROP CONSTRAINT ingest_ranges_check`,
	} {
		_, err := tx.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	tag, err := tx.Exec(t.Context(), damage, [16]byte(topicID))
	require.NoError(t, err)
	require.NotZero(t, tag.RowsAffected(), "the damage was done")
	require.NoError(t, tx.Commit(t.Context()))
}

// A reconciliation reads one snapshot: what ingest commits meanwhile can't unbalance it.
func TestReconcileIsConsistentWhileIngestRuns(t *testing.T) {
	t.Parallel()
	s := filled(t)
	stop, done := make(chan struct{}), make(chan error, 1)
	go func() {
		for offset := int64(10); ; offset++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			if _, err := s.Append(t.Context(), one(t, offset, record(0, offset, id(int(1000+offset)), 1))); err != nil {
				done <- err
				return
			}
		}
	}()
	for range 20 {
		r, err := audit.Reconcile(t.Context(), s.owner, nil)
		require.NoError(t, err)
		require.Empty(t, r.Discrepancies)
	}
	close(stop)
	require.NoError(t, <-done)
}
