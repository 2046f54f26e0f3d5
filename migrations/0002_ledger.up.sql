-- The ledger: leaf hashes beside each batch, tiles over them, signed checkpoints.
BEGIN;

-- Events that were stored before have no leaves, and leaves that are computed afterwards prove nothing
-- about the time between.
DO $$
BEGIN
    IF EXISTS (SELECT FROM public.ledger_batches) THEN
        RAISE EXCEPTION 'this event store was filled before it had a ledger, so its history can''t be proven'
            USING HINT = 'Begin with an empty database and let ingest read the topics again from their start.';
    END IF;
END
$$;

SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- Level 0 of the tree: RFC 6962 leaf hashes, 32 bytes an event, in the order of positions. EXTERNAL, so
-- that a slice is read without the rest.
ALTER TABLE ledger_batches ADD COLUMN leaves bytea NOT NULL CHECK (octet_length(leaves) = 32 * count);
ALTER TABLE ledger_batches ALTER COLUMN leaves SET STORAGE EXTERNAL;

-- Levels 1 and up, in C2SP tiles of 256 hashes. A tile grows by parts, since rows are never changed.
CREATE TABLE ledger_tiles (
    tile   bigint   NOT NULL, -- index within the level
    level  smallint NOT NULL CHECK (level BETWEEN 1 AND 7),
    first  smallint NOT NULL CHECK (first BETWEEN 0 AND 255), -- of the part's hashes, within the tile
    log    text     COLLATE "C" NOT NULL CHECK (log IN ('events', 'access')),
    hashes bytea    NOT NULL CHECK (octet_length(hashes) % 32 = 0 AND octet_length(hashes) BETWEEN 32 AND 32 * (256 - first)),
    PRIMARY KEY (log, level, tile, first)
);

-- Every checkpoint that was ever signed.
CREATE TABLE ledger_checkpoints (
    size      bigint      NOT NULL CHECK (size >= 0),
    signed_at timestamptz NOT NULL,
    log       text        COLLATE "C" NOT NULL CHECK (log IN ('events', 'access')),
    root      bytea       NOT NULL CHECK (octet_length(root) = 32),
    note      text        COLLATE "C" NOT NULL CHECK (octet_length(note) <= 262144), -- C2SP tlog-checkpoint, signed
    PRIMARY KEY (log, size)
);

-- The queue of batches that are committed and wait for their positions: entries of the access log, whose
-- answers must not wait for each other's COMMIT.
CREATE TABLE ledger_pending (
    batch       bigint      NOT NULL,
    recorded_at timestamptz NOT NULL,
    earliest    timestamptz NOT NULL,
    latest      timestamptz NOT NULL,
    count       integer     NOT NULL CHECK (count BETWEEN 1 AND 16384),
    log         text        COLLATE "C" NOT NULL CHECK (log = 'access'),
    leaves      bytea       NOT NULL CHECK (octet_length(leaves) = 32 * count),
    PRIMARY KEY (log, batch)
);
CREATE SEQUENCE access_batches AS bigint MAXVALUE 562949953421311;

-- number_pending gives what waits its positions, at most 1,000 batches a call, and answers how many. It
-- runs as the owner, so that nobody else needs the right to take a row out of the queue. The lock's
-- number is of store's number space ("audt", 4). The INSERT is a statement after the lock, so that its
-- snapshot has the last batch.
CREATE FUNCTION number_pending(which text) RETURNS integer
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    numbered integer;
BEGIN
    IF which IS DISTINCT FROM 'access' THEN
        RAISE EXCEPTION 'number_pending: only the access log has a queue' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM pg_advisory_xact_lock(7022629643333140484);
    WITH taken AS (
        DELETE FROM public.ledger_pending
        WHERE log = which AND batch IN (SELECT batch FROM public.ledger_pending WHERE log = which ORDER BY batch LIMIT 1000)
        RETURNING *)
    INSERT INTO public.ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
    SELECT log,
           coalesce((SELECT first_position + count FROM public.ledger_batches
                     WHERE log = which ORDER BY first_position DESC LIMIT 1), 0)
               + sum(count) OVER (ORDER BY batch) - count,
           batch, count, recorded_at, earliest, latest, leaves
    FROM taken;
    GET DIAGNOSTICS numbered = ROW_COUNT;
    RETURN numbered;
END
$$;
REVOKE ALL ON FUNCTION number_pending(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION number_pending(text) TO audittrail_api, audittrail_notary;

SELECT protect('ledger_tiles'), protect('ledger_checkpoints');

GRANT SELECT ON ledger_tiles, ledger_checkpoints, ledger_pending
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT ON ledger_tiles, ledger_checkpoints TO audittrail_notary;
GRANT INSERT ON ledger_pending TO audittrail_api;
GRANT USAGE ON SEQUENCE access_batches TO audittrail_api;

COMMIT;
