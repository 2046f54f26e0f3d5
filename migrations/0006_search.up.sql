-- Search by cause, and which types and sources occur when.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- No append commits from here to the end, so that event_values misses none of its events. In the order in
-- which an append takes these locks.
LOCK TABLE events, ledger_batches IN SHARE ROW EXCLUSIVE MODE;

-- The effects of an event. A filter of 16 pages holds some 200 events.
CREATE INDEX events_causation ON events
    USING brin (((metadata ->> 'causationId') COLLATE "C")
                text_bloom_ops (n_distinct_per_range = 200, false_positive_rate = 0.001))
    WITH (pages_per_range = 16, autosummarize = on);

-- In which months a value occurs; one of before 2000 is in December 1999. A row is committed before the first
-- event that it stands for, so a search may pass by the months that a value has no row of.
CREATE TABLE event_values (
    field text COLLATE "C" NOT NULL CHECK (field IN ('eventType', 'aggregateType', 'source')),
    value text COLLATE "C" NOT NULL,
    month date NOT NULL,
    PRIMARY KEY (field, value, month)
);

-- Fields with so many values that event_values has not all of them.
CREATE TABLE event_values_open (
    field text COLLATE "C" PRIMARY KEY
);

INSERT INTO event_values
SELECT DISTINCT v.field, v.value, e.month
FROM (SELECT DISTINCT event_type, aggregate_type, metadata ->> 'source' AS source,
             greatest(date_trunc('month', timestamp AT TIME ZONE 'UTC'), '1999-12-01')::date AS month
      FROM events) AS e,
     LATERAL (VALUES ('eventType', event_type), ('aggregateType', aggregate_type), ('source', source)) AS v (field, value)
WHERE v.value IS NOT NULL;

INSERT INTO event_values_open
SELECT field FROM event_values GROUP BY field HAVING count(DISTINCT value) > 10000;

SELECT protect('event_values'), protect('event_values_open');
GRANT SELECT ON event_values, event_values_open
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT ON event_values, event_values_open TO audittrail_ingest;

-- A process of a release that does not know event_values would store events that searches pass by. An append
-- says by audittrail.writer which migration it writes for. The SQLSTATE is one that appends try again after,
-- so an older process waits, and its records with it, until it is replaced.
CREATE FUNCTION refuse_older_writer() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF coalesce(nullif(current_setting('audittrail.writer', true), ''), '0')::int < 6 THEN
        RAISE EXCEPTION 'this process is of a release before migration 6 and may not write any more: start the present release'
            USING ERRCODE = 'object_not_in_prerequisite_state';
    END IF;
    RETURN NEW;
END
$$;
REVOKE ALL ON FUNCTION refuse_older_writer() FROM PUBLIC;
CREATE TRIGGER refuse_older_writer BEFORE INSERT ON ledger_batches
    FOR EACH ROW WHEN (NEW.log = 'events' AND current_user = 'audittrail_ingest')
    EXECUTE FUNCTION refuse_older_writer();

-- With the default of 100 the planner misjudges payload terms that are in every tenth event. New partitions get
-- theirs from maintain.
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'public.events'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN payload SET STATISTICS 500', partition);
    END LOOP;
END
$$;

COMMIT;
