BEGIN;
DROP TABLE state_snapshots;
COMMIT;
