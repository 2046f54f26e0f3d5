-- The place of a migration that is made elsewhere.
BEGIN;
COMMIT;
