-- Counts all events as the role analytics does, but for the sketches of hours and days, which only it can make. The role
-- takes some 50 µs an event, half of it rest: too long for a store of ten million.
SELECT reset_analytics();
INSERT INTO rollup_events (unit, start, event_type, aggregate_type, source, count)
SELECT unit, date_trunc(unit, timestamp, 'UTC'), event_type, aggregate_type, metadata ->> 'source', count(*)
FROM events, unnest(ARRAY['minute', 'hour', 'day']) AS unit
GROUP BY 1, 2, 3, 4, 5
ORDER BY 1, 2;
INSERT INTO rollup_users (unit, start, user_id, event_type, count)
SELECT unit, date_trunc(unit, timestamp, 'UTC'), metadata ->> 'userId', event_type, count(*)
FROM events, unnest(ARRAY['hour', 'day']) AS unit
WHERE metadata ->> 'userId' IS NOT NULL
GROUP BY 1, 2, 3, 4
ORDER BY 1, 2;
INSERT INTO analytics_cursors (name, position, form)
SELECT 'counts', max(first_position + count), 1 FROM ledger_batches WHERE log = 'events';
