-- Dead letters that come back: what became of each, who asked for it, and how many are left.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- What became of a dead letter, decided once: hence the primary key. One that was redriven is an event now: of this
-- batch, or one that was stored before, with the same content (batch is null then).
CREATE TABLE dead_letter_fates (
    dead_letter_id bigint      PRIMARY KEY REFERENCES dead_letters,
    batch          bigint,
    request        bigint,               -- of redrive_requests
    decided_at     timestamptz NOT NULL,
    event_id       uuid,
    edited         boolean     NOT NULL DEFAULT false,       -- stored with another value than the record's own
    fate           text        COLLATE "C" NOT NULL DEFAULT 'dismissed' CHECK (fate IN ('redriven', 'dismissed')),
    decided_by     text        COLLATE "C" NOT NULL,
    reason         text        COLLATE "C" NOT NULL CHECK (reason <> ''),
    CHECK ((fate = 'redriven') = (event_id IS NOT NULL)),
    CHECK ((fate = 'redriven') = (request IS NOT NULL)),
    CHECK (fate = 'redriven' OR (batch IS NULL AND NOT edited))
);
SELECT protect('dead_letter_fates');

-- State: what was asked for. The fates keep for ever who asked and why. value is in place of the record's own until
-- the request is done.
CREATE TABLE redrive_requests (
    id          bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    created_at  timestamptz NOT NULL,
    finished_at timestamptz,
    total       integer     NOT NULL CHECK (total > 0),
    edited      boolean     NOT NULL,
    created_by  text        COLLATE "C" NOT NULL,
    reason      text        COLLATE "C" NOT NULL CHECK (reason <> ''),
    value       bytea
);
CREATE INDEX redrive_requests_open ON redrive_requests (id) WHERE finished_at IS NULL;

-- The dead letters of a request, and how each went; of one that failed again, what was wrong this time.
CREATE TABLE redrive_items (
    request        bigint      NOT NULL REFERENCES redrive_requests,
    dead_letter_id bigint      NOT NULL REFERENCES dead_letters,
    tried_at       timestamptz,
    outcome        text        COLLATE "C" CHECK (outcome IN ('stored', 'duplicate', 'failed', 'decided')),
    reason         text        COLLATE "C",
    field          text        COLLATE "C",
    detail         text        COLLATE "C",
    PRIMARY KEY (request, dead_letter_id),
    CHECK ((outcome IS NULL) = (tried_at IS NULL)),
    CHECK ((outcome IS NOT DISTINCT FROM 'failed') = (reason IS NOT NULL))
);
CREATE INDEX redrive_items_open ON redrive_items (request, dead_letter_id) WHERE outcome IS NULL;
CREATE INDEX redrive_items_letter ON redrive_items (dead_letter_id, request);

-- How many dead letters nobody has decided, by reason, as a sum of changes: to count a million of them every few
-- seconds would cost too much, and one row that each change updates would make all of them wait for each other.
CREATE TABLE dead_letter_tally (
    change bigint NOT NULL,
    reason text   COLLATE "C" NOT NULL
);

-- The two triggers are the only way into the tally, for every role and release.
CREATE FUNCTION tally_dead_letters() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.dead_letter_tally (change, reason) SELECT count(*), reason FROM added GROUP BY reason;
    RETURN NULL;
END
$$;
CREATE FUNCTION tally_fates() RETURNS trigger
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    INSERT INTO public.dead_letter_tally (change, reason)
    SELECT -count(*), d.reason FROM added AS a JOIN public.dead_letters AS d ON d.id = a.dead_letter_id GROUP BY d.reason;
    RETURN NULL;
END
$$;
CREATE TRIGGER tally AFTER INSERT ON dead_letters
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_dead_letters();
CREATE TRIGGER tally AFTER INSERT ON dead_letter_fates
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION tally_fates();
INSERT INTO dead_letter_tally (change, reason) SELECT count(*), reason FROM dead_letters GROUP BY reason;

-- count_dead_letters answers the sums, and makes one row of each reason's changes. The lock's number is of store's
-- number space ("audt", 16): two at once would each miss what the other sums up.
CREATE FUNCTION count_dead_letters() RETURNS TABLE (reason text, pending bigint)
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7022629643333140496);
    IF (SELECT count(*) > count(DISTINCT t.reason) FROM public.dead_letter_tally AS t) THEN
        WITH taken AS (DELETE FROM public.dead_letter_tally AS t RETURNING t.change, t.reason)
        INSERT INTO public.dead_letter_tally (change, reason)
        SELECT sum(taken.change), taken.reason FROM taken GROUP BY taken.reason;
    END IF;
    RETURN QUERY SELECT t.reason, sum(t.change)::bigint FROM public.dead_letter_tally AS t GROUP BY t.reason;
END
$$;
REVOKE ALL ON FUNCTION tally_dead_letters(), tally_fates(), count_dead_letters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION count_dead_letters() TO audittrail_ingest;

GRANT SELECT ON dead_letter_fates, redrive_requests, redrive_items, dead_letter_tally
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
-- The API may dismiss, and ask for a redrive. Only the role replay redrives.
GRANT INSERT (dead_letter_id, decided_at, decided_by, reason) ON dead_letter_fates TO audittrail_api;
GRANT INSERT ON redrive_requests, redrive_items TO audittrail_api;
GRANT INSERT ON dead_letter_fates, events, event_keys, ledger_batches, event_values, event_values_open TO audittrail_replay;
GRANT UPDATE (finished_at, value) ON redrive_requests TO audittrail_replay;
GRANT UPDATE (tried_at, outcome, reason, field, detail) ON redrive_items TO audittrail_replay;
GRANT USAGE ON SEQUENCE event_batches TO audittrail_replay;
GRANT EXECUTE ON FUNCTION ensure_partition(text, date) TO audittrail_replay;

-- As migration 6 has it, for the other role that writes events.
DROP TRIGGER refuse_older_writer ON ledger_batches;
CREATE TRIGGER refuse_older_writer BEFORE INSERT ON ledger_batches
    FOR EACH ROW WHEN (NEW.log = 'events' AND current_user IN ('audittrail_ingest', 'audittrail_replay'))
    EXECUTE FUNCTION refuse_older_writer();

COMMIT;
