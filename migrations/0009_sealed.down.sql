BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;
DROP TABLE shredded_subjects, subject_keys, root_key, wrapping_keys, sealed_tokens, sealed_refs;
ALTER TABLE events DROP COLUMN sealed;
COMMIT;
