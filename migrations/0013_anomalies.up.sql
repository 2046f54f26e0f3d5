-- What was unusual, why, and what people decided about it; and views for analysts' own tools.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- State: a finding is found again where the analytics are reset, under the same id; what was decided stays.
CREATE TABLE anomalies (
    started_at  timestamptz NOT NULL, -- of what is unusual, by the events' time
    detected_at timestamptz NOT NULL DEFAULT now(),
    decided_at  timestamptz,
    observed    float8      NOT NULL,
    expected    float8      NOT NULL,
    distance    float8      NOT NULL, -- in robust standard deviations, or as detail says
    id          text        COLLATE "C" PRIMARY KEY, -- a hash of kind, subject and moment
    kind        text        COLLATE "C" NOT NULL,
    subject     text        COLLATE "C" NOT NULL,
    detail      text        COLLATE "C" NOT NULL,
    state       text        COLLATE "C" NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'acknowledged', 'resolved')),
    decided_by  text        COLLATE "C",
    reason      text        COLLATE "C",
    evidence    jsonb       NOT NULL  -- the events, access entries and dead letters that show it
);
CREATE INDEX anomalies_started ON anomalies (started_at DESC, id);

GRANT SELECT ON anomalies
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_analytics, audittrail_maintain, audittrail_notary;
GRANT INSERT ON anomalies TO audittrail_analytics;
GRANT UPDATE (state, decided_at, decided_by, reason) ON anomalies TO audittrail_api;

COMMIT;
