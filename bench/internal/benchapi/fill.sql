-- fill stores the events from_number … to_number - 1. A batch holds 1,000; its events were stored when its last one
-- happened. Ids follow from an event's number alone, so that requests can be made without asking.
CREATE FUNCTION pg_temp.fill(from_number bigint, to_number bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    first     timestamptz := (SELECT t.first FROM pg_temp.timeline AS t);
    step      interval := (SELECT t.step FROM pg_temp.timeline AS t);
    templates bigint := (SELECT t.templates FROM pg_temp.timeline AS t);
BEGIN
    INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
                        aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
    SELECT (n / 1000 + 1) << 14 | n % 1000, first + n * step, first + (n / 1000 * 1000 + 999) * step, n / 6, n % 6, t.version,
           md5(n::text)::uuid, t.event_type, t.aggregate_type, t.aggregate_id || '-' || n / templates, 'orders', decode(md5('salt' || n), 'hex'),
           -- A member that ten events share: what somebody looks for who has an order's number.
           CASE WHEN jsonb_typeof(t.payload) = 'object' THEN t.payload || jsonb_build_object('reference', 'r-' || n / 10) ELSE t.payload END,
           t.metadata || jsonb_strip_nulls(jsonb_build_object('correlationId', t.metadata ->> 'correlationId' || '-' || n / templates,
                                                              'causationId', t.metadata ->> 'causationId' || '-' || n / templates))
    FROM generate_series(from_number, to_number - 1) AS n JOIN pg_temp.template AS t ON t.number = n % templates
    ORDER BY n;

    INSERT INTO event_keys (event_id, batch, timestamp, digest)
    SELECT md5(n::text)::uuid, n / 1000 + 1, first + n * step, '\x01'::bytea || sha256(n::text::bytea)
    FROM generate_series(from_number, to_number - 1) AS n;

    INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
    SELECT 'events', min(n), n / 1000 + 1, count(*), first + (n / 1000 * 1000 + 999) * step, first + min(n) * step, first + max(n) * step,
           string_agg(sha256(n::text::bytea), '' ORDER BY n)
    FROM generate_series(from_number, to_number - 1) AS n GROUP BY n / 1000;
END
$$;
