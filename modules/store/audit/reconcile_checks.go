package audit

// The SQL of Reconcile. Each check returns only what is wrong, in these columns:
//
//	check, topic, partition, from, to, batch, position, expected, found, detail
//
// Each table is read once, in its own order. Only one row per range or batch is sorted or hashed, not one per
// event. Somebody may have written NULL, or numbers too large to sum. So a comparison that is not true is a
// discrepancy, and sums that may overflow are numeric.

// discrepanciesSQL wraps each of them. It cuts texts, since somebody may have written many megabytes.
const discrepanciesSQL = `SELECT what, left(topic, 300), partition, first, next, batch, position, left(expected, 1000), left(found, 1000), left(detail, 1000) FROM `

// accountSQL uses the primary key of ingest_ranges.
const accountSQL = `
SELECT coalesce(o.topic_id, '00000000-0000-0000-0000-000000000000'), left(coalesce(o.topic, ''), 300), coalesce(o.partition, -1), coalesce(o.first_offset, 0), coalesce(o.next_offset, 0),
       coalesce(sum(r.stored), 0)::bigint, coalesce(sum(r.duplicates), 0)::bigint, coalesce(sum(r.dead_lettered), 0)::bigint,
       greatest(least(coalesce(sum(r.absent), 0), 9223372036854775807), -9223372036854775808)::bigint
FROM public.ingest_offsets o LEFT JOIN public.ingest_ranges r USING (topic_id, partition)
GROUP BY o.topic_id, o.topic, o.partition, o.first_offset, o.next_offset
ORDER BY o.topic, o.partition, o.first_offset`

type reconcileCheck struct{ what, sql string }

func reconcileChecks() []reconcileCheck {
	return []reconcileCheck{
		{"looking for gaps and overlaps between ranges", coverageSQL},
		{"comparing each range with its sums", rangeSumsSQL},
		{"comparing events with ranges, batches and keys", eventsSQL},
		{"comparing dead letters with ranges", deadLettersSQL},
		{"comparing dead letters with what became of them", fatesSQL},
		{"checking that positions are dense", positionsSQL},
		{"comparing admissions with offsets and ranges", admissionsSQL},
	}
}

// coverageSQL compares the beginning of each range with the end of the ranges before it, and the outer ends with
// the partition's first and next offset. The end before a range is the largest end of all earlier ranges, so a
// short range inside a long one is found.
const coverageSQL = `
WITH ordered AS (
    SELECT topic_id, partition, from_offset, to_offset,
           max(to_offset) OVER (PARTITION BY topic_id, partition ORDER BY from_offset
                                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS reached
    FROM public.ingest_ranges
), ends AS (
    SELECT topic_id, partition, min(from_offset) AS first, max(to_offset) AS next
    FROM public.ingest_ranges GROUP BY topic_id, partition
)
SELECT CASE WHEN w.from_offset > w.reached THEN 'range_gap' ELSE 'range_overlap' END,
       o.topic, w.partition, least(w.from_offset, w.reached), greatest(w.from_offset, least(w.reached, w.to_offset)),
       NULL::bigint, NULL::bigint, w.reached::text, w.from_offset::text,
       'a range begins where the one before it ends'
FROM ordered w LEFT JOIN public.ingest_offsets o USING (topic_id, partition)
WHERE w.from_offset <> w.reached
UNION ALL
SELECT 'range_first', o.topic, o.partition, least(o.first_offset, e.first), greatest(o.first_offset, e.first),
       NULL, NULL, o.first_offset::text, e.first::text,
       'the first range begins at the partition''s first offset'
FROM public.ingest_offsets o JOIN ends e USING (topic_id, partition)
WHERE e.first IS DISTINCT FROM o.first_offset
UNION ALL
SELECT 'range_last', o.topic, o.partition, least(o.next_offset, coalesce(e.next, o.first_offset)),
       greatest(o.next_offset, coalesce(e.next, o.first_offset)), NULL, NULL, o.next_offset::text, e.next::text,
       'the last range ends at the partition''s next offset'
FROM public.ingest_offsets o LEFT JOIN ends e USING (topic_id, partition)
WHERE coalesce(e.next, o.first_offset) IS DISTINCT FROM o.next_offset OR o.next_offset IS NULL
UNION ALL
SELECT 'range_unknown_partition', NULL, e.partition, e.first, e.next, NULL, NULL,
       'a row in ingest_offsets', NULL, format('ranges belong to a partition that is read; topic id %s', e.topic_id)
FROM ends e LEFT JOIN public.ingest_offsets o USING (topic_id, partition)
WHERE o.topic_id IS NULL
ORDER BY 2, 3, 4`

// rangeSumsSQL repeats the table's own constraint, which a superuser may have dropped.
const rangeSumsSQL = `
SELECT 'range_sum', o.topic, r.partition, r.from_offset, r.to_offset, r.batch, NULL::bigint,
       (r.to_offset::numeric - r.from_offset)::text, CASE WHEN least(r.stored, r.duplicates, r.dead_lettered, r.absent) < 0
            THEN format('%s, %s, %s and %s', r.stored, r.duplicates, r.dead_lettered, r.absent)
            ELSE (r.stored::numeric + r.duplicates + r.dead_lettered + r.absent)::text END,
       'stored, duplicates, dead-lettered and absent add up to the range''s offsets'
FROM public.ingest_ranges r LEFT JOIN public.ingest_offsets o USING (topic_id, partition)
WHERE (r.to_offset::numeric - r.from_offset = r.stored::numeric + r.duplicates + r.dead_lettered + r.absent
       AND least(r.stored, r.duplicates, r.dead_lettered, r.absent) >= 0) IS NOT TRUE
ORDER BY 2, 3, 4`

// eventsSQL reads events and event_keys once each. It compares them by batch with each other, with the ranges and
// with the ledger. A redriven dead letter's event is of no range, but of its fate: it has the coordinates of a record that
// its range counts as dead-lettered. ids is the XOR of a hash of event id and timestamp over all rows: it is equal for equal sets,
// and needs no sorting.
const eventsSQL = `
WITH event_parts AS MATERIALIZED (
    SELECT id >> 14 AS batch, kafka_topic AS topic, kafka_partition AS partition,
           count(*) AS n, min(kafka_offset) AS first, max(kafka_offset) AS last,
           min(id & 16383) AS low, max(id & 16383) AS high, sum(id & 16383) AS indexes,
           min(timestamp) AS earliest, max(timestamp) AS latest,
           min(created_at) AS recorded_first, max(created_at) AS recorded_last,
           bit_xor(timestamp_hash_extended(timestamp AT TIME ZONE 'UTC', uuid_hash_extended(event_id, 0))) AS ids
    FROM public.events GROUP BY 1, 2, 3
), in_events AS MATERIALIZED (
    SELECT batch, sum(n)::bigint AS n, min(low) AS low, max(high) AS high, sum(indexes) AS indexes,
           min(earliest) AS earliest, max(latest) AS latest,
           min(recorded_first) AS recorded_first, max(recorded_last) AS recorded_last, bit_xor(ids) AS ids
    FROM event_parts GROUP BY batch
), in_keys AS MATERIALIZED (
    SELECT batch, count(*) AS n,
           bit_xor(timestamp_hash_extended(timestamp AT TIME ZONE 'UTC', uuid_hash_extended(event_id, 0))) AS ids
    FROM public.event_keys GROUP BY batch
), in_ranges AS MATERIALIZED (
    SELECT r.batch, o.topic, r.partition, sum(r.stored)::bigint AS n, min(r.from_offset) AS first, max(r.to_offset) AS next
    FROM public.ingest_ranges r LEFT JOIN public.ingest_offsets o USING (topic_id, partition)
    WHERE r.stored > 0 GROUP BY 1, 2, 3
    UNION ALL
    SELECT f.batch, d.topic, d.partition, count(*), min(d."offset"), max(least(d."offset", 9223372036854775806)) + 1
    FROM public.dead_letter_fates f LEFT JOIN public.dead_letters d ON d.id = f.dead_letter_id
    WHERE f.batch IS NOT NULL GROUP BY 1, 2, 3
), in_ledger AS MATERIALIZED (
    SELECT batch, first_position, count AS n, recorded_at, earliest, latest FROM public.ledger_batches WHERE log = 'events'
)
SELECT 'range_events', coalesce(r.topic, e.topic), coalesce(r.partition, e.partition),
       coalesce(r.first, e.first), coalesce(r.next, least(e.last, 9223372036854775806) + 1), coalesce(r.batch, e.batch), NULL::bigint,
       coalesce(r.n, 0)::text, coalesce(e.n, 0)::text, 'a range''s stored events, and a batch''s redriven dead letters, are in events'
FROM in_ranges r FULL JOIN event_parts e ON r.batch = e.batch AND r.topic = e.topic AND r.partition = e.partition
WHERE coalesce(r.n, 0) <> coalesce(e.n, 0)
UNION ALL
SELECT 'range_event_offsets', r.topic, r.partition, least(r.first, e.first), greatest(r.next, least(e.last, 9223372036854775806) + 1), r.batch, NULL,
       r.first::text || ' to '::text || (r.next::numeric - 1)::text, e.first::text || ' to '::text || e.last::text, 'a range''s events have its offsets'
FROM in_ranges r JOIN event_parts e ON r.batch = e.batch AND r.topic = e.topic AND r.partition = e.partition
WHERE e.first < r.first OR e.last >= r.next
UNION ALL
SELECT 'batch_events', NULL, NULL, NULL, NULL, coalesce(l.batch, e.batch), l.first_position,
       coalesce(l.n, 0)::text, coalesce(e.n, 0)::text, 'a ledger batch''s count is that of its events'
FROM in_ledger l FULL JOIN in_events e USING (batch)
WHERE coalesce(l.n, 0) <> coalesce(e.n, 0)
UNION ALL
SELECT 'batch_keys', NULL, NULL, NULL, NULL, coalesce(l.batch, k.batch), l.first_position,
       coalesce(l.n, 0)::text, coalesce(k.n, 0)::text, 'a ledger batch''s count is that of its event keys'
FROM in_ledger l FULL JOIN in_keys k USING (batch)
WHERE coalesce(l.n, 0) <> coalesce(k.n, 0)
UNION ALL
SELECT 'event_ids', NULL, NULL, NULL, NULL, e.batch, l.first_position, to_hex(k.ids), to_hex(e.ids),
       'event ids and timestamps of a batch are the same in event_keys (expected) and events (found), by a hash of the set'
FROM in_events e JOIN in_keys k USING (batch) LEFT JOIN in_ledger l USING (batch)
WHERE e.n = k.n AND e.ids IS DISTINCT FROM k.ids
UNION ALL
SELECT 'event_indexes', NULL, NULL, NULL, NULL, e.batch, l.first_position,
       '0 to '::text || (e.n - 1)::text, e.low::text || ' to '::text || e.high::text || ' (sum '::text || e.indexes::text || ')'::text,
       'events of a batch are numbered from 0 without gaps'
FROM in_events e JOIN in_ledger l USING (batch)
WHERE e.n = l.n AND (e.low <> 0 OR e.high <> e.n - 1 OR e.indexes <> e.n * (e.n - 1) / 2)
UNION ALL
SELECT 'batch_recorded_at', NULL, NULL, NULL, NULL, l.batch, l.first_position, to_char(l.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(CASE WHEN e.recorded_first <> l.recorded_at THEN e.recorded_first ELSE e.recorded_last END AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       'events of a batch were recorded when the batch was'
FROM in_ledger l JOIN in_events e USING (batch)
WHERE (e.recorded_first = l.recorded_at AND e.recorded_last = l.recorded_at) IS NOT TRUE
UNION ALL
SELECT 'batch_bounds', NULL, NULL, NULL, NULL, l.batch, l.first_position,
       to_char(l.earliest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' to ' || to_char(l.latest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       to_char(e.earliest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') || ' to ' || to_char(e.latest AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
       'a ledger batch''s bounds hold all timestamps of its events'
FROM in_ledger l JOIN in_events e USING (batch)
WHERE (e.earliest >= l.earliest AND e.latest <= l.latest) IS NOT TRUE
ORDER BY 6, 1, 2, 3`

// deadLettersSQL counts the dead letters of each range, by the unique index (topic_id, partition, offset), and
// finds those in no range, by the primary key of ingest_ranges.
const deadLettersSQL = `
SELECT 'range_dead_letters' AS "check", o.topic, r.partition, r.from_offset, r.to_offset, NULL::bigint, NULL::bigint,
       r.dead_lettered::text, d.n::text, 'a range''s dead letters are in dead_letters'
FROM public.ingest_ranges r LEFT JOIN public.ingest_offsets o USING (topic_id, partition)
CROSS JOIN LATERAL (
    SELECT count(*) AS n FROM public.dead_letters d
    WHERE d.topic_id = r.topic_id AND d.partition = r.partition
      AND d."offset" >= r.from_offset AND d."offset" < r.to_offset
) d
WHERE d.n <> r.dead_lettered
UNION ALL
SELECT 'dead_letter_range', d.topic, d.partition, d."offset", least(d."offset", 9223372036854775806) + 1, NULL, NULL, '0', '1',
       'a dead letter''s offset lies in a range'
FROM public.dead_letters d
LEFT JOIN LATERAL (
    SELECT r.to_offset FROM public.ingest_ranges r
    WHERE r.topic_id = d.topic_id AND r.partition = d.partition AND r.from_offset <= d."offset"
    ORDER BY r.from_offset DESC LIMIT 1
) r ON true
WHERE r.to_offset IS NULL OR r.to_offset <= d."offset"
UNION ALL
SELECT 'dead_letter_outbox', d.topic, d.partition, d."offset", least(d."offset", 9223372036854775806) + 1, NULL, NULL, '1', '0',
       'a dead letter is queued for its dead-letter topic'
FROM public.dead_letters d LEFT JOIN public.dead_letter_outbox b ON b.dead_letter_id = d.id
WHERE b.dead_letter_id IS NULL
ORDER BY 2, 3, 4`

// fatesSQL compares each fate with its dead letter and its event, by the primary keys, and the tally with what is left.
const fatesSQL = `
SELECT 'fate_dead_letter' AS "check", NULL::text, NULL::integer, NULL::bigint, NULL::bigint, f.batch, NULL::bigint,
       format('dead letter %s', f.dead_letter_id), NULL::text, 'what became of a dead letter is said of one that there is, once'
FROM public.dead_letter_fates f LEFT JOIN public.dead_letters d ON d.id = f.dead_letter_id
WHERE d.id IS NULL
UNION ALL
SELECT 'fate_dead_letter', NULL, NULL, NULL, NULL, NULL, NULL,
       format('dead letter %s once', dead_letter_id), count(*)::text, 'what became of a dead letter is said of one that there is, once'
FROM public.dead_letter_fates GROUP BY dead_letter_id HAVING count(*) > 1
UNION ALL
SELECT 'fate_event', d.topic, d.partition, d."offset", least(d."offset", 9223372036854775806) + 1, f.batch, NULL,
       coalesce(f.batch::text, 'any batch'), k.batch::text, 'a redriven dead letter''s event is stored, in the batch of its fate'
FROM public.dead_letter_fates f JOIN public.dead_letters d ON d.id = f.dead_letter_id
LEFT JOIN public.event_keys k ON k.event_id = f.event_id
WHERE (f.fate = 'redriven' AND k.event_id IS NOT NULL AND (f.batch IS NULL OR f.batch = k.batch)
       OR f.fate = 'dismissed' AND f.batch IS NULL AND f.event_id IS NULL) IS NOT TRUE
UNION ALL
SELECT 'dead_letter_tally', NULL, NULL, NULL, NULL, NULL, NULL, coalesce(p.n, 0)::text, coalesce(t.n, 0)::text,
       format('the tally of pending dead letters counts them; reason %s', coalesce(p.reason, t.reason))
FROM (SELECT d.reason, count(*) AS n FROM public.dead_letters d LEFT JOIN public.dead_letter_fates f ON f.dead_letter_id = d.id
      WHERE f.dead_letter_id IS NULL GROUP BY d.reason) p
FULL JOIN (SELECT reason, sum(change) AS n FROM public.dead_letter_tally GROUP BY reason) t ON p.reason = t.reason
WHERE coalesce(p.n, 0) <> coalesce(t.n, 0)
ORDER BY 2, 3, 4`

// positionsSQL uses the primary key of ledger_batches.
const positionsSQL = `
SELECT 'positions', NULL::text, NULL::integer, NULL::bigint, NULL::bigint, batch, first_position,
       expected::text, first_position::text, format('a batch''s first position follows the last of the batch before it; log %s', log)
FROM (
    SELECT log, batch, first_position,
           coalesce(lag(first_position::numeric + count) OVER (PARTITION BY log ORDER BY first_position), 0) AS expected
    FROM public.ledger_batches
) b
WHERE first_position IS DISTINCT FROM expected
ORDER BY 7`

// admissionsSQL compares each admission with the accounts of its partition: of the topic in Kafka (k), before
// it (o) and after it (n). Forward, there is the range of absent offsets. Backward, the one account ends where
// the other begins. Nothing tells an admission that was deleted, or who made it, when and why.
const admissionsSQL = `
SELECT 'admission', a.topic, a.partition, least(a.from_offset, a.to_offset), greatest(a.from_offset, a.to_offset), NULL::bigint, NULL::bigint,
       'offsets and ranges as admitted', 'others', 'what was admitted is what the accounting did'
FROM public.ingest_admissions a
LEFT JOIN public.ingest_offsets k ON k.topic_id = a.topic_id AND k.partition = a.partition AND k.topic = a.topic
LEFT JOIN public.ingest_offsets o ON o.topic_id = a.from_log AND o.partition = a.partition AND o.topic = a.topic
LEFT JOIN public.ingest_offsets n ON n.topic_id = a.to_log AND n.partition = a.partition AND n.topic = a.topic
WHERE (k.topic_id IS NOT NULL AND o.topic_id IS NOT NULL AND n.topic_id IS NOT NULL AND CASE
    WHEN a.to_offset < a.from_offset THEN o.next_offset = a.from_offset AND n.first_offset = a.to_offset
    WHEN a.from_log <> a.to_log OR n.next_offset < a.to_offset THEN false
    WHEN a.to_offset > a.from_offset THEN EXISTS (SELECT FROM public.ingest_ranges r WHERE r.topic_id = a.to_log AND r.partition = a.partition
        AND r.from_offset = a.from_offset AND r.to_offset = a.to_offset AND r.absent = a.to_offset - a.from_offset)
    ELSE a.to_offset = a.from_offset END) IS NOT TRUE
ORDER BY 2, 3, 4`
