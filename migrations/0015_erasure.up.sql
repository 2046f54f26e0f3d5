-- Erasure: who was to be erased, the one way to destroy a key, and the sweep of what tells of erased values.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- A row is somebody's wish that a subject is erased, and how far that has come. It never holds the subject itself.
CREATE TABLE shreds (
    number       bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           uuid        NOT NULL UNIQUE,
    requested_at timestamptz NOT NULL,
    subject      bytea       NOT NULL CHECK (octet_length(subject) = 16), -- a keyed hash
    requested_by text        COLLATE "C" NOT NULL,
    reason       text        COLLATE "C" NOT NULL CHECK (reason <> ''),
    found        jsonb       NOT NULL, -- what the request saw that no erasure reaches
    restored     boolean     NOT NULL DEFAULT false, -- done before, in a database that a backup has replaced

    state        text        COLLATE "C" NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'erased', 'done')),
    erased_at    timestamptz,            -- records from before it are this subject's past
    earlier_at   timestamptz,            -- when the subject was erased before
    keys         uuid[]      NOT NULL DEFAULT '{}', -- destroyed
    events       bigint      NOT NULL DEFAULT 0, -- whose values are erased
    digests      bigint      NOT NULL DEFAULT 0, -- of them, that no longer tell what the events said
    tokens       bigint      NOT NULL DEFAULT 0, -- that found sealed values, and are deleted
    vacuumed     boolean     NOT NULL DEFAULT false,
    finished_at  timestamptz,
    entry        bigint,                 -- of the access log: the certificate
    CHECK ((state = 'requested') OR erased_at IS NOT NULL),
    CHECK ((state = 'done') = (finished_at IS NOT NULL))
);
CREATE INDEX shreds_open ON shreds (number) WHERE state <> 'done';

GRANT SELECT ON shreds TO audittrail_api, audittrail_maintain;
GRANT INSERT (id, requested_at, subject, requested_by, reason, found) ON shreds TO audittrail_api;
GRANT INSERT (id, requested_at, subject, requested_by, reason, found, restored, erased_at, keys) ON shreds TO audittrail_maintain;
GRANT UPDATE (state, restored, erased_at, earlier_at, keys, events, digests, tokens, vacuumed, finished_at, entry) ON shreds TO audittrail_maintain;

-- A certificate is an entry of the access log.
GRANT INSERT ON access_log, ledger_pending TO audittrail_maintain;
GRANT USAGE ON SEQUENCE access_batches TO audittrail_maintain;

-- A destroyed key does not come back, whatever else changes in its row.
CREATE FUNCTION keep_destroyed() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'a destroyed key does not come back: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER keep_destroyed BEFORE UPDATE ON subject_keys
    FOR EACH ROW WHEN (OLD.wrapped IS NULL AND NEW.wrapped IS NOT NULL) EXECUTE FUNCTION keep_destroyed();
ALTER TABLE subject_keys ENABLE ALWAYS TRIGGER keep_destroyed;

-- subject_key answers the id of a subject's key, null where it has none, and the time. It uses subject_keys_subject.
CREATE FUNCTION subject_key(whose bytea, OUT key uuid, OUT moment timestamptz)
    LANGUAGE sql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
    SELECT (SELECT k.id FROM public.subject_keys AS k WHERE k.subject = whose AND k.wrapped IS NOT NULL), clock_timestamp();
$$;

-- destroy_subject_keys destroys a subject's key, notes that records from before a moment are to be sealed under a key
-- that nobody keeps, and tells everybody who listens. listed: only keys that are in it, or were made before the moment;
-- null: whatever key there is. It answers the destroyed keys, and when the subject was erased before.
--
-- The lock has keys that are being made wait, or be seen: else somebody who has not seen the note could make one for
-- an old record, and keep it.
CREATE FUNCTION destroy_subject_keys(whose bytea, moment timestamptz, listed uuid[], OUT destroyed uuid[], OUT earlier timestamptz)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    LOCK TABLE public.subject_keys IN SHARE ROW EXCLUSIVE MODE;
    SELECT s.shredded_at INTO earlier FROM public.shredded_subjects AS s WHERE s.subject = whose;
    WITH gone AS (
        UPDATE public.subject_keys AS k SET wrapped = NULL
        WHERE k.subject = whose AND k.wrapped IS NOT NULL AND (listed IS NULL OR k.id = ANY (listed) OR k.created_at <= moment)
        RETURNING k.id)
    SELECT coalesce(array_agg(g.id), '{}') INTO destroyed FROM gone AS g;
    INSERT INTO public.shredded_subjects AS s (subject, shredded_at) VALUES (whose, moment)
    ON CONFLICT (subject) DO UPDATE SET shredded_at = greatest(s.shredded_at, excluded.shredded_at);
    PERFORM pg_notify('audittrail_shredded', '');
END
$$;

-- sweep_key forgets, of some events with values of a destroyed key: that they hold them, what finds them by those
-- values, and the digests that would confirm a guess. It answers how many of each; no events and no tokens: all is done.
-- A join probes the one partition of each timestamp.
CREATE FUNCTION sweep_key(gone uuid, most integer, OUT events bigint, OUT digests bigint, OUT tokens bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    WITH refs AS (
        DELETE FROM public.sealed_refs AS r
        WHERE (r.key, r.timestamp, r.id) IN (
            SELECT w.key, w.timestamp, w.id FROM public.sealed_refs AS w WHERE w.key = gone ORDER BY w.timestamp, w.id LIMIT most)
        RETURNING r.timestamp, r.id),
    erased AS (
        UPDATE public.event_keys AS k SET digest = decode(repeat('00', 17), 'hex')
        FROM refs AS r JOIN public.events AS e ON e.timestamp = r.timestamp AND e.id = r.id
        WHERE k.event_id = e.event_id AND get_byte(k.digest, 0) <> 0
        RETURNING 1)
    SELECT (SELECT count(*) FROM refs), (SELECT count(*) FROM erased) INTO events, digests;
    WITH found AS (
        DELETE FROM public.sealed_tokens AS t
        WHERE t.ctid = ANY (ARRAY(SELECT w.ctid FROM public.sealed_tokens AS w WHERE w.key = gone LIMIT most)) AND t.key = gone
        RETURNING 1)
    SELECT count(*) INTO tokens FROM found;
END
$$;

-- As migration 1 has it, but for one change that history allows: a digest may be erased.
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    IF TG_OP = 'UPDATE' AND TG_RELID = 'public.event_keys'::regclass THEN
        IF OLD.event_id = NEW.event_id AND OLD.batch = NEW.batch AND OLD.timestamp = NEW.timestamp
            AND get_byte(OLD.digest, 0) <> 0 AND NEW.digest = decode(repeat('00', 17), 'hex') THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION 'history is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

REVOKE ALL ON FUNCTION keep_destroyed(), subject_key(bytea), destroy_subject_keys(bytea, timestamptz, uuid[]), sweep_key(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION subject_key(bytea), destroy_subject_keys(bytea, timestamptz, uuid[]), sweep_key(uuid, integer) TO audittrail_maintain;
GRANT SELECT ON shredded_subjects TO audittrail_maintain;

-- The record's own timestamp: what is older than an erasure is known by it. Rows from before have none.
ALTER TABLE dead_letters ADD COLUMN record_time timestamptz;

COMMIT;
