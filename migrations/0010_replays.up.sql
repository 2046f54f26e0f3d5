-- Replays: jobs that send stored events to a target once more.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- A row is a job, so that it survives restarts. Who made it, and what it was to do, is granted to nobody to change.
-- The API writes what is wanted of it, and the role replay what it does.
CREATE TABLE replays (
    number         bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY, -- the order of lists
    id             uuid        NOT NULL UNIQUE DEFAULT gen_random_uuid(),
    created_at     timestamptz NOT NULL DEFAULT now(),
    created_by     text        COLLATE "C" NOT NULL,
    reason         text        COLLATE "C" NOT NULL,
    filter         jsonb       NOT NULL,
    scopes         jsonb       NOT NULL, -- which events its creator could see
    scope_hashes   text[]      COLLATE "C" NOT NULL, -- of each of them
    target         jsonb       NOT NULL,
    target_key     text        COLLATE "C" NOT NULL, -- equal for targets that are one place
    speed          jsonb       NOT NULL,
    until_position bigint      NOT NULL CHECK (until_position >= -1),
    total          bigint      NOT NULL CHECK (total >= 0), -- events up to there

    -- Each wish counts asked on. It is open until the worker has heeded it.
    wanted         text        COLLATE "C" NOT NULL DEFAULT 'run' CHECK (wanted IN ('run', 'pause', 'cancel', 'retry')),
    asked          bigint      NOT NULL DEFAULT 0,
    asked_by       text        COLLATE "C",
    asked_at       timestamptz,

    state          text        COLLATE "C" NOT NULL DEFAULT 'pending'
                               CHECK (state IN ('pending', 'running', 'paused', 'completed', 'cancelled', 'failed')),
    heeded         bigint      NOT NULL DEFAULT 0,
    position       bigint      NOT NULL DEFAULT -1, -- all events up to there were sent, or stand in replay_failures
    sent           bigint      NOT NULL DEFAULT 0,
    rate           double precision NOT NULL DEFAULT 0, -- events a second, of late
    error          text        COLLATE "C" NOT NULL DEFAULT '',
    started_at     timestamptz,
    finished_at    timestamptz,
    lease          bigint      NOT NULL DEFAULT 0, -- grows with each worker
    leased_until   timestamptz
);
-- One running job a target, and the jobs that a worker looks for.
CREATE UNIQUE INDEX replays_running ON replays (target_key) WHERE state = 'running';
CREATE INDEX replays_open ON replays (number) WHERE state IN ('pending', 'running') OR asked > heeded;

-- Events that could not be delivered, and later ones of the same aggregates, which wait for them. A delivered one
-- leaves the table.
CREATE TABLE replay_failures (
    replay         bigint      NOT NULL REFERENCES replays,
    position       bigint      NOT NULL,
    failed_at      timestamptz NOT NULL DEFAULT now(),
    attempts       integer     NOT NULL, -- 0: it waits
    event_id       uuid        NOT NULL,
    aggregate_type text        COLLATE "C" NOT NULL,
    aggregate_id   text        COLLATE "C" NOT NULL,
    reason         text        COLLATE "C" NOT NULL,
    PRIMARY KEY (replay, position)
);

GRANT SELECT ON replays, replay_failures
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT ON replays TO audittrail_api;
GRANT UPDATE (wanted, asked, asked_by, asked_at) ON replays TO audittrail_api;
GRANT UPDATE (state, heeded, position, sent, rate, error, started_at, finished_at, lease, leased_until) ON replays TO audittrail_replay;
GRANT INSERT, DELETE ON replay_failures TO audittrail_replay;
GRANT UPDATE (failed_at, attempts, reason) ON replay_failures TO audittrail_replay;

COMMIT;
