package systemtest

import (
	"github.com/google/uuid"
)

// imbalances are questions to which the answer must be 0, by what it would mean if it were not.
var imbalances = map[string]string{
	"events without a key, or of another batch than their key says": `
		SELECT count(*) FROM events e LEFT JOIN event_keys k USING (event_id)
		WHERE k.batch IS DISTINCT FROM e.id >> 14 OR k.timestamp IS DISTINCT FROM e.timestamp`,
	"keys without an event": `
		SELECT count(*) FROM event_keys k WHERE NOT EXISTS (SELECT FROM events e WHERE e.event_id = k.event_id)`,
	"events that are there twice": `
		SELECT count(*) - count(DISTINCT event_id) FROM events`,
	"batches that do not begin where the one before ends": `
		SELECT count(*) FROM (
			SELECT first_position, coalesce(lag(first_position + count) OVER (ORDER BY first_position), 0) AS due
			FROM ledger_batches WHERE log = 'events') b
		WHERE first_position <> due`,
	"batches whose rows are not numbered from 0 without gaps": `
		SELECT count(*) FROM (
			SELECT id >> 14 AS batch, count(*) AS rows, min(id & 16383) AS first, max(id & 16383) AS last, count(DISTINCT id) AS ids
			FROM events GROUP BY 1) e
		FULL JOIN (SELECT batch, count FROM ledger_batches WHERE log = 'events') b USING (batch)
		WHERE e.rows IS DISTINCT FROM b.count OR e.ids <> e.rows OR e.first <> 0 OR e.last <> e.rows - 1`,
	"ranges that do not begin where the one before ends": `
		SELECT count(*) FROM (
			SELECT r.from_offset, coalesce(lag(r.to_offset) OVER (PARTITION BY r.topic_id, r.partition ORDER BY r.from_offset), o.first_offset) AS due
			FROM ingest_ranges r JOIN ingest_offsets o USING (topic_id, partition)) r
		WHERE from_offset <> due`,
	"partitions whose ranges do not reach their next offset": `
		SELECT count(*) FROM ingest_offsets o WHERE next_offset <>
			coalesce((SELECT max(to_offset) FROM ingest_ranges r WHERE r.topic_id = o.topic_id AND r.partition = o.partition), first_offset)`,
	"difference between what ranges and tables say was stored": `
		SELECT abs((SELECT count(*) FROM events) - (SELECT coalesce(sum(stored), 0) FROM ingest_ranges))::bigint`,
	"difference between what ranges and tables say was dead-lettered": `
		SELECT abs((SELECT count(*) FROM dead_letters) - (SELECT coalesce(sum(dead_lettered), 0) FROM ingest_ranges))::bigint`,
	"events with the coordinates of another event or dead letter": `
		SELECT count(*) - count(DISTINCT (topic, partition, "offset")) FROM (
			SELECT kafka_topic AS topic, kafka_partition AS partition, kafka_offset AS "offset" FROM events
			UNION ALL SELECT topic, partition, "offset" FROM dead_letters) c`,
}

// balanced asks whether the whole topic is accounted for and the tables agree with each other and with
// the topic. Nothing may be running that writes.
func (s *stack) balanced() {
	s.t.Helper()
	for what, sql := range imbalances {
		if n := one[int64](s, sql); n != 0 {
			s.t.Errorf("%d %s", n, what)
		}
	}
	end, err := s.end(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	accounted := one[int64](s, `SELECT coalesce(sum(to_offset - from_offset), 0)::bigint FROM ingest_ranges WHERE topic_id IN (
		SELECT topic_id FROM ingest_offsets WHERE topic = $1)`, s.topic)
	if accounted != end {
		s.t.Errorf("%d of the topic's %d offsets are accounted for", accounted, end)
	}
	do(s.t, "reconcile", "--postgres.url", s.url) // the program's own word on it; fails by its exit status
}

// holdsAll asks whether exactly the events that were sent are stored.
func (f *feed) holdsAll() {
	f.s.t.Helper()
	wanted := make(map[uuid.UUID]bool, f.sent)
	for n := range f.sent {
		wanted[id(f.s.topic, n)] = true
	}
	rows, err := f.s.db.Query(f.s.t.Context(), "SELECT event_id FROM events")
	if err != nil {
		f.s.t.Fatal(err)
	}
	defer rows.Close()
	unknown := 0
	for rows.Next() {
		var got uuid.UUID
		if err := rows.Scan(&got); err != nil {
			f.s.t.Fatal(err)
		}
		if !wanted[got] {
			unknown++
		}
		delete(wanted, got)
	}
	if err := rows.Err(); err != nil {
		f.s.t.Fatal(err)
	}
	if len(wanted) != 0 || unknown != 0 {
		f.s.t.Errorf("of %d events %d are lost, and %d are there that were not sent or are there twice", f.sent, len(wanted), unknown)
	}
}
