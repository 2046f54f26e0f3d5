-- States of long aggregates, so that they need not be folded from their first event each time.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- No history: it may be emptied at any time, and costs nothing but speed then. A row is good as long as the
-- aggregate has this many events up to as_of.
CREATE TABLE state_snapshots (
    as_of          timestamptz NOT NULL,
    made_at        timestamptz NOT NULL DEFAULT now(),
    events         integer     NOT NULL CHECK (events > 0),
    aggregate_type text        COLLATE "C" NOT NULL,
    aggregate_id   text        COLLATE "C" NOT NULL,
    rules          bytea       NOT NULL, -- hash of state.rules: other rules make another state
    body           bytea       NOT NULL,
    PRIMARY KEY (aggregate_type, aggregate_id, rules, as_of)
);
GRANT SELECT ON state_snapshots
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT, DELETE ON state_snapshots TO audittrail_api;

COMMIT;
