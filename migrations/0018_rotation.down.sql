BEGIN;
ALTER TABLE wrapping_keys DROP COLUMN wrapped_before;
COMMIT;
