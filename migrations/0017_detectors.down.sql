BEGIN;
DROP INDEX anomalies_open;
COMMIT;
