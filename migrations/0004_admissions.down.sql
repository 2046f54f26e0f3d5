BEGIN;
DROP TABLE ingest_admissions;
ALTER TABLE ingest_offsets DROP COLUMN cut_end, DROP COLUMN cut_at;
ALTER TABLE installation DROP COLUMN id;
COMMIT;
