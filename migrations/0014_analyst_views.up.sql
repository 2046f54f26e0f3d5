-- Views for analysts' own tools, and the one database role that may read them and nothing else.
--
-- The views read with the rights of audittrail_owner, so the role needs none on tables. They show what the API shows
-- without pii:read: {"$sealed":true} in place of a sealed or erased value, and no ciphertext, salt, digest or hash.
BEGIN;

-- As migration 1 makes the other roles: databases that migrate at once race here.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'audittrail_analyst') THEN
        CREATE ROLE audittrail_analyst NOLOGIN NOINHERIT;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN internal_error THEN -- tuple concurrently updated
        IF SQLERRM NOT LIKE '%concurrently%' THEN RAISE; END IF;
END
$$;

SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

GRANT USAGE ON SCHEMA public TO audittrail_analyst;

-- In the text of a jsonb these bytes stand nowhere but where such an object begins: in a string, a quote has a backslash
-- before it. Member names are reserved, so no producer writes them. user_id and correlation_id are the expressions that
-- have indexes. The position is looked up only where a query asks for it.
CREATE VIEW analyst_events AS
SELECT (SELECT b.first_position FROM ledger_batches AS b WHERE b.log = 'events' AND b.batch = e.id >> 14) + (e.id & 16383) AS position,
       e.event_id,
       e.event_type,
       e.aggregate_type,
       e.aggregate_id,
       e.version,
       e.timestamp,
       e.created_at AS recorded_at,
       CASE jsonb_typeof(e.metadata -> 'source') WHEN 'string' THEN (e.metadata ->> 'source') COLLATE "C" END AS source,
       (e.metadata ->> 'userId') COLLATE "C" AS user_id,
       (e.metadata ->> 'correlationId') COLLATE "C" AS correlation_id,
       CASE jsonb_typeof(e.metadata -> 'causationId') WHEN 'string' THEN (e.metadata ->> 'causationId') COLLATE "C" END AS causation_id,
       e.sealed IS NOT NULL AS has_sealed,
       CASE WHEN e.sealed IS NULL THEN e.payload
            ELSE regexp_replace(e.payload::text, '\{"\$sealed": [0-9]+\}', '{"$sealed": true}', 'g')::jsonb END AS payload,
       CASE WHEN e.sealed IS NULL THEN e.metadata
            ELSE regexp_replace(e.metadata::text, '\{"\$sealed": [0-9]+\}', '{"$sealed": true}', 'g')::jsonb END AS metadata,
       e.kafka_topic,
       e.kafka_partition,
       e.kafka_offset
FROM events AS e;

COMMENT ON VIEW analyst_events IS 'One row an event. Give a range of timestamp: the table is partitioned by it.';
COMMENT ON COLUMN analyst_events.position IS 'Place in the log, in the order of commits, dense from 0.';
COMMENT ON COLUMN analyst_events.timestamp IS 'When it happened, as the producer says.';
COMMENT ON COLUMN analyst_events.recorded_at IS 'When it was stored.';
COMMENT ON COLUMN analyst_events.user_id IS 'Indexed, with timestamp. Where it is sealed, {"$sealed": n}.';
COMMENT ON COLUMN analyst_events.correlation_id IS 'Indexed. Where it is sealed, {"$sealed": n}.';
COMMENT ON COLUMN analyst_events.has_sealed IS 'Whether values of payload or metadata are sealed, or erased.';
COMMENT ON COLUMN analyst_events.payload IS 'With {"$sealed": true} for each value that is sealed or erased. Not indexed here: narrow by time and type first.';

CREATE VIEW analyst_event_counts AS
SELECT unit, start, event_type, aggregate_type, source, count FROM rollup_events;

COMMENT ON VIEW analyst_event_counts IS 'Counts of events, some moments behind. Choose one unit: each of them counts every event.';
COMMENT ON COLUMN analyst_event_counts.unit IS 'minute, hour or day, in UTC.';
COMMENT ON COLUMN analyst_event_counts.start IS 'The beginning of the unit, by the events'' own timestamp.';

CREATE VIEW analyst_user_counts AS
SELECT unit, start, user_id, event_type, count FROM rollup_users;

COMMENT ON VIEW analyst_user_counts IS 'Counts of events by user. Events whose user is sealed or missing are in none.';
COMMENT ON COLUMN analyst_user_counts.unit IS 'hour or day, in UTC.';

-- As GET /v1/processes has them. A condition on the aggregate's type or id is applied before the rows are numbered, one
-- on time afterwards.
CREATE VIEW analyst_steps AS
SELECT s.aggregate_type, s.aggregate_id, s.from_type, s.to_type, s.from_event_id, s.to_event_id, s.started_at, s.finished_at,
       extract(epoch FROM s.finished_at - s.started_at)::float8 AS seconds
FROM (SELECT e.aggregate_type,
             e.aggregate_id,
             lag(e.event_type) OVER history AS from_type,
             e.event_type AS to_type,
             lag(e.event_id) OVER history AS from_event_id,
             e.event_id AS to_event_id,
             lag(e.timestamp) OVER history AS started_at,
             e.timestamp AS finished_at
      FROM events AS e
      WINDOW history AS (PARTITION BY e.aggregate_type, e.aggregate_id ORDER BY e.timestamp, e.id)) AS s
WHERE s.from_type IS NOT NULL;

COMMENT ON VIEW analyst_steps IS 'Which event of an aggregate follows which, and how long it took. Give an aggregate_type: it numbers all events that it is not kept from.';

-- security_barrier: no function of a reader's own sees a row before the condition has hidden it.
CREATE VIEW analyst_anomalies WITH (security_barrier) AS
SELECT id, kind, subject, detail, started_at, detected_at, observed, expected, distance, state, decided_at, decided_by, reason, evidence
FROM anomalies
WHERE NOT evidence ? 'access' AND kind NOT IN ('mass_reading', 'mass_export');

COMMENT ON VIEW analyst_anomalies IS 'What was unusual, and what people decided about it; without what comes from the access log.';
COMMENT ON COLUMN analyst_anomalies.evidence IS 'The events and dead letters that show it; 20 at most.';

GRANT SELECT ON analyst_events, analyst_event_counts, analyst_user_counts, analyst_steps, analyst_anomalies TO audittrail_analyst;

COMMIT;
