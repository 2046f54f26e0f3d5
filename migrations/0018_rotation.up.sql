-- A wrapping key while the key-encryption key is rotated: processes with the former one go on until they are restarted.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

ALTER TABLE wrapping_keys ADD COLUMN wrapped_before bytea; -- the same key, by the former key-encryption key

COMMIT;
