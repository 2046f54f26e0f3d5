-- The event store: tables, who may do what, and the triggers that keep history append-only.
--
-- Runs as the migrating login (a superuser, or a CREATEROLE login that may create in this database).
-- Everything below belongs to audittrail_owner, which nobody logs in as.
BEGIN;

-- Database roles belong to the cluster, so two databases that migrate at once race here. CREATE ROLE
-- has no IF NOT EXISTS, and the loser of the race may see any of three errors.
DO $$
DECLARE
    name       text;
    may_become text := CASE WHEN pg_catalog.current_setting('server_version_num')::int >= 160000 THEN 'SET' ELSE 'MEMBER' END;
BEGIN
    FOREACH name IN ARRAY ARRAY['audittrail_owner', 'audittrail_ingest', 'audittrail_api',
                                'audittrail_replay', 'audittrail_maintain', 'audittrail_notary'] LOOP
        IF EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = name) THEN
            CONTINUE;
        END IF;
        BEGIN
            EXECUTE pg_catalog.format('CREATE ROLE %I NOLOGIN NOINHERIT', name);
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN internal_error THEN -- tuple concurrently updated
                IF SQLERRM NOT LIKE '%concurrently%' THEN RAISE; END IF;
        END;
    END LOOP;

    -- A migrating login that is no superuser has to become a member of what it creates for. From
    -- PostgreSQL 16 on who creates a role is a member that may grant it, but not become it.
    IF NOT pg_catalog.pg_has_role(current_user, 'audittrail_owner', may_become) THEN
        BEGIN
            EXECUTE pg_catalog.format('GRANT audittrail_owner TO %I', current_user);
        EXCEPTION
            WHEN unique_violation THEN NULL;
            WHEN internal_error THEN
                IF SQLERRM NOT LIKE '%concurrently%' THEN RAISE; END IF;
        END;
    END IF;
END
$$;

-- In clusters that began before PostgreSQL 15 everybody may create in public, and so put a function
-- or operator in the way of ours.
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE, CREATE ON SCHEMA public TO audittrail_owner;
GRANT USAGE ON SCHEMA public
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
-- The record of the schema's version was made by the migrating login. As the owner's, every member of
-- audittrail_owner can migrate from now on. Each role asks whether the schema is the one it was built for.
ALTER TABLE public.schema_migrations OWNER TO audittrail_owner;
GRANT SELECT ON public.schema_migrations
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;

SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- Which partitions are by year and which by month is decided once, when the database is installed.
CREATE TABLE installation (
    singleton    boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    installed_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO installation DEFAULT VALUES;

-- History. Columns in the order that wastes no alignment; varchar(255) as event's rules have it.
CREATE TABLE events (
    id              bigint       NOT NULL, -- batch << 14 | index within the batch
    timestamp       timestamptz  NOT NULL, -- when it happened, as the producer says
    created_at      timestamptz  NOT NULL, -- when it was stored; one value a batch, set by the application
    kafka_offset    bigint       NOT NULL,
    kafka_partition integer      NOT NULL,
    version         integer      NOT NULL,
    event_id        uuid         NOT NULL, -- unique by event_keys, across partitions and for ever
    event_type      varchar(255) COLLATE "C" NOT NULL,
    aggregate_type  varchar(255) COLLATE "C" NOT NULL,
    aggregate_id    varchar(255) COLLATE "C" NOT NULL,
    kafka_topic     text         COLLATE "C" NOT NULL,
    salt            bytea        NOT NULL, -- 16 random bytes
    payload         jsonb        NOT NULL,
    metadata        jsonb        NOT NULL,
    PRIMARY KEY (timestamp, id)
) PARTITION BY RANGE (timestamp);

-- Each index answers a question of the API, and every event pays for it: the payload's is half of all.
CREATE INDEX events_id ON events USING brin (id) WITH (pages_per_range = 16, autosummarize = on);
CREATE INDEX events_type ON events (event_type, timestamp);
CREATE INDEX events_aggregate ON events (aggregate_type, aggregate_id, timestamp);
CREATE INDEX events_correlation ON events (((metadata ->> 'correlationId') COLLATE "C"));
CREATE INDEX events_user ON events (((metadata ->> 'userId') COLLATE "C"), timestamp);
CREATE INDEX events_payload ON events USING gin (payload jsonb_path_ops);

-- Every event id that was ever stored, also of archived events. digest's first byte is its scheme.
CREATE TABLE event_keys (
    event_id  uuid        PRIMARY KEY,
    batch     bigint      NOT NULL,
    timestamp timestamptz NOT NULL,
    digest    bytea       NOT NULL
);

-- One row for a batch that stored something: where its events lie in the log.
CREATE TABLE ledger_batches (
    first_position bigint      NOT NULL CHECK (first_position >= 0),
    batch          bigint      NOT NULL,
    recorded_at    timestamptz NOT NULL,
    earliest       timestamptz NOT NULL, -- of the events' timestamps; bounds the partitions to read
    latest         timestamptz NOT NULL,
    count          integer     NOT NULL CHECK (count BETWEEN 1 AND 16384),
    log            text        COLLATE "C" NOT NULL CHECK (log IN ('events', 'access')),
    PRIMARY KEY (log, first_position),
    UNIQUE (log, batch)
);
CREATE SEQUENCE event_batches AS bigint MAXVALUE 562949953421311; -- 2^49 - 1: an id has 63 bits

-- Which incarnation of a topic is ours. A topic that is made again has a new id, and is not read
-- until an operator admits it.
CREATE TABLE ingest_topics (
    topic       text        COLLATE "C" NOT NULL,
    topic_id    uuid        NOT NULL,
    admitted_at timestamptz NOT NULL DEFAULT now(),
    admitted_by text        COLLATE "C" NOT NULL DEFAULT session_user,
    PRIMARY KEY (topic, topic_id)
);

-- Where ingest goes on: the truth, of which Kafka's group offsets are a copy. next_offset is the fence.
CREATE TABLE ingest_offsets (
    topic_id     uuid        NOT NULL,
    partition    integer     NOT NULL,
    leader_epoch integer     NOT NULL DEFAULT -1, -- of the last record read; -1 where unknown
    first_offset bigint      NOT NULL,            -- where accounting begins
    next_offset  bigint      NOT NULL,
    updated_at   timestamptz NOT NULL DEFAULT now(),
    topic        text        COLLATE "C" NOT NULL,
    PRIMARY KEY (topic_id, partition),
    CHECK (next_offset >= first_offset)
) WITH (fillfactor = 50); -- updated by every batch: room for HOT updates

-- What became of every offset.
CREATE TABLE ingest_ranges (
    topic_id      uuid        NOT NULL,
    partition     integer     NOT NULL,
    stored        integer     NOT NULL CHECK (stored >= 0),
    from_offset   bigint      NOT NULL,
    to_offset     bigint      NOT NULL, -- exclusive
    duplicates    integer     NOT NULL CHECK (duplicates >= 0),
    dead_lettered integer     NOT NULL CHECK (dead_lettered >= 0),
    absent        bigint      NOT NULL CHECK (absent >= 0), -- compacted away, transaction markers, aborted
    batch         bigint,               -- whose events they are; null where none was stored
    recorded_at   timestamptz NOT NULL,
    PRIMARY KEY (topic_id, partition, from_offset),
    CHECK (to_offset - from_offset = stored::bigint + duplicates + dead_lettered + absent AND to_offset > from_offset),
    CHECK (stored = 0 OR batch IS NOT NULL)
);

-- Records that could not become events, with all their bytes.
CREATE TABLE dead_letters (
    id            bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    "offset"      bigint      NOT NULL,
    received_at   timestamptz NOT NULL,
    topic_id      uuid        NOT NULL,
    partition     integer     NOT NULL,
    topic         text        COLLATE "C" NOT NULL,
    reason        text        COLLATE "C" NOT NULL,
    field         text        COLLATE "C" NOT NULL,
    detail        text        COLLATE "C" NOT NULL,
    key           bytea,
    value         bytea,
    header_keys   bytea[]     NOT NULL, -- header keys are bytes to Kafka: not always UTF-8
    header_values bytea[]     NOT NULL,
    UNIQUE (topic_id, partition, "offset")
);
CREATE INDEX dead_letters_topic ON dead_letters (topic, id);
CREATE INDEX dead_letters_reason ON dead_letters (reason, id);

-- State, not history: which dead letters have still to be published to their dead-letter topic.
CREATE TABLE dead_letter_outbox (
    dead_letter_id bigint PRIMARY KEY REFERENCES dead_letters,
    published_at   timestamptz
) WITH (fillfactor = 70);
CREATE INDEX dead_letter_outbox_unpublished ON dead_letter_outbox (dead_letter_id) WHERE published_at IS NULL;

-- Immutability.
CREATE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'history is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

-- protect puts a table's two triggers on it. Row triggers of a partitioned table are cloned to its
-- partitions, TRUNCATE's are not: ensure_partition adds those. ENABLE ALWAYS, since
-- session_replication_role = replica would pass an ordinary trigger by.
CREATE FUNCTION protect(target regclass) RETURNS void
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    EXECUTE format('CREATE TRIGGER refuse_change BEFORE UPDATE OR DELETE ON %s
                    FOR EACH ROW EXECUTE FUNCTION public.refuse_change()', target);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s
                    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_change', target);
    EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER refuse_truncate', target);
END
$$;
REVOKE ALL ON FUNCTION refuse_change(), protect(regclass) FROM PUBLIC;

SELECT protect('installation'), protect('events'), protect('event_keys'), protect('ledger_batches'),
       protect('ingest_topics'), protect('ingest_ranges'), protect('dead_letters');

-- Partitions: one before 2000, one a year up to the year before installation, months from then on.
--
-- It runs as the owner, for callers that may not create tables: hence the fixed list of parents and the
-- fixed search_path. CREATE TABLE LIKE and ATTACH, since CREATE TABLE … PARTITION OF would wait for the
-- oldest reader and queue everybody else behind it. Call it in a short transaction of its own. Answers
-- the partition's name.
CREATE FUNCTION ensure_partition(parent text, month date) RETURNS text
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
    SET timezone = 'UTC'
AS $$
DECLARE
    months_since timestamptz := (SELECT date_trunc('year', installed_at) FROM public.installation);
    lower        timestamptz;
    upper        timestamptz;
    child        text;
BEGIN
    IF parent IS NULL OR parent <> ALL (ARRAY['events']) THEN
        RAISE EXCEPTION 'ensure_partition: parent is not a partitioned table of the event store'
            USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF month IS NULL OR NOT isfinite(month) THEN
        RAISE EXCEPTION 'ensure_partition: month is not a date' USING ERRCODE = 'invalid_parameter_value';
    END IF;

    IF month < DATE '2000-01-01' THEN
        child := parent || '_before_2000';
        lower := '-infinity';
        upper := '2000-01-01';
    ELSIF month < months_since THEN
        lower := date_trunc('year', month::timestamptz);
        upper := lower + interval '1 year';
        child := parent || '_' || to_char(lower, 'YYYY');
    ELSE
        lower := date_trunc('month', month::timestamptz);
        upper := lower + interval '1 month';
        child := parent || '_' || to_char(lower, 'YYYYMM');
    END IF;

    -- An attached child is the answer: an archived, detached one of that name is not. The child is found
    -- in the tables and not by to_regclass, whose cache is not renewed by waiting for an advisory lock.
    IF EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE c.relname = child AND c.relnamespace = 'public'::regnamespace
                 AND i.inhparent = ('public.' || parent)::regclass) THEN
        RETURN child;
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('audittrail.ensure_partition.' || parent, 0));
    IF EXISTS (SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
               WHERE c.relname = child AND c.relnamespace = 'public'::regnamespace
                 AND i.inhparent = ('public.' || parent)::regclass) THEN
        RETURN child;
    END IF;

    EXECUTE format('CREATE TABLE public.%I (LIKE public.%I INCLUDING ALL)', child, parent);
    EXECUTE format('CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON public.%I
                    FOR EACH STATEMENT EXECUTE FUNCTION public.refuse_change()', child);
    EXECUTE format('ALTER TABLE public.%I ENABLE ALWAYS TRIGGER refuse_truncate', child);
    EXECUTE format('ALTER TABLE public.%I ATTACH PARTITION public.%I FOR VALUES FROM (%L) TO (%L)',
                   parent, child, lower, upper);
    -- For verify, which must see what a partition's pages hold, whatever its indexes and bounds say.
    EXECUTE format('GRANT SELECT ON public.%I TO audittrail_maintain', child);
    RETURN child;
END
$$;
REVOKE ALL ON FUNCTION ensure_partition(text, date) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION ensure_partition(text, date) TO audittrail_ingest, audittrail_maintain;

-- The past, this year so far, and the next three months.
SELECT ensure_partition('events', '1999-12-01');
SELECT ensure_partition('events', make_date(y, 1, 1))
FROM generate_series(2000, extract(year FROM now() AT TIME ZONE 'UTC')::int - 1) AS y;
SELECT ensure_partition('events', m::date)
FROM generate_series(date_trunc('year', now() AT TIME ZONE 'UTC'),
                     date_trunc('month', now() AT TIME ZONE 'UTC') + interval '3 months', interval '1 month') AS m;

-- Who may do what. Partitions are reached through their parent; nothing but what ensure_partition says is
-- granted on them.
GRANT SELECT ON installation, events, event_keys, ledger_batches, ingest_topics, ingest_offsets,
                ingest_ranges, dead_letters, dead_letter_outbox
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;

GRANT INSERT ON events, event_keys, ledger_batches, ingest_topics, ingest_offsets, ingest_ranges,
                dead_letters, dead_letter_outbox
    TO audittrail_ingest;
GRANT UPDATE (next_offset, leader_epoch, updated_at) ON ingest_offsets TO audittrail_ingest;
GRANT UPDATE (published_at) ON dead_letter_outbox TO audittrail_ingest;
GRANT USAGE ON SEQUENCE event_batches TO audittrail_ingest;

COMMIT;
