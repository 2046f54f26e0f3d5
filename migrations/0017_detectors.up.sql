-- What the detectors ask for again and again.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- How many anomalies of each kind are open, once a minute.
CREATE INDEX anomalies_open ON anomalies (kind) WHERE state = 'open';

COMMIT;
