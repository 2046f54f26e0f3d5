BEGIN;
ALTER TABLE dead_letters DROP COLUMN value_length, DROP COLUMN value_sha256;
COMMIT;
