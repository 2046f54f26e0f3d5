-- What the role analytics keeps: counts of events by time, made from the events and made again from them at any time.
BEGIN;

-- As migration 1 makes the other roles: databases that migrate at once race here.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'audittrail_analytics') THEN
        CREATE ROLE audittrail_analytics NOLOGIN NOINHERIT;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN NULL;
    WHEN internal_error THEN -- tuple concurrently updated
        IF SQLERRM NOT LIKE '%concurrently%' THEN RAISE; END IF;
END
$$;

SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

GRANT USAGE ON SCHEMA public TO audittrail_analytics;
GRANT SELECT ON schema_migrations, installation, events, event_keys, ledger_batches, ledger_tiles, ledger_checkpoints,
                ledger_signatures, ledger_pending, ingest_topics, ingest_offsets, ingest_ranges, ingest_admissions, dead_letters,
                dead_letter_outbox, event_values, event_values_open, state_snapshots, access_log,
                dead_letter_fates, redrive_requests, redrive_items, dead_letter_tally, replays, replay_failures
    TO audittrail_analytics;

-- No history, any of the tables below: state that follows from the events.

-- How far each part of the analytics has read its log. A transaction that adds to the rollups moves its cursor on from
-- where it stood, so that no event is counted twice, and none is left out.
CREATE TABLE analytics_cursors (
    name       text        COLLATE "C" PRIMARY KEY,
    position   bigint      NOT NULL CHECK (position >= 0), -- the next one to read
    form       integer     NOT NULL, -- of what was kept; what another release kept otherwise is made anew
    updated_at timestamptz NOT NULL DEFAULT now()
) WITH (fillfactor = 50);

-- Counts of events by their own time. start is in UTC. A source is null where the event has none. The sketches are
-- HyperLogLog of 4,096 registers (package sketch), of hours and days alone.
CREATE TABLE rollup_events (
    start          timestamptz NOT NULL,
    count          bigint      NOT NULL,
    unit           text        COLLATE "C" NOT NULL CHECK (unit IN ('minute', 'hour', 'day')),
    event_type     text        COLLATE "C" NOT NULL,
    aggregate_type text        COLLATE "C" NOT NULL,
    source         text        COLLATE "C",
    aggregates     bytea,
    users          bytea,
    UNIQUE NULLS NOT DISTINCT (unit, start, event_type, aggregate_type, source)
) WITH (fillfactor = 80);

-- Counts of events by user. Events without a user, or with a sealed one, are in none of its rows.
CREATE TABLE rollup_users (
    start      timestamptz NOT NULL,
    count      bigint      NOT NULL,
    unit       text        COLLATE "C" NOT NULL CHECK (unit IN ('hour', 'day')),
    user_id    text        COLLATE "C" NOT NULL,
    event_type text        COLLATE "C" NOT NULL,
    PRIMARY KEY (unit, start, user_id, event_type)
) WITH (fillfactor = 80);

-- reset_analytics forgets everything that was counted, so that the leader counts again from the first event.
CREATE FUNCTION reset_analytics() RETURNS void
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    TRUNCATE public.analytics_cursors, public.rollup_events, public.rollup_users;
$$;
REVOKE ALL ON FUNCTION reset_analytics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION reset_analytics() TO audittrail_analytics;

GRANT SELECT ON analytics_cursors, rollup_events, rollup_users
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_analytics, audittrail_maintain, audittrail_notary;
GRANT INSERT, UPDATE ON analytics_cursors, rollup_events, rollup_users TO audittrail_analytics;

COMMIT;
