BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;
DROP TABLE shredded_subjects, subject_keys, root_key, wrapping_keys, sealed_tokens, sealed_refs;
ALTER TABLE dead_letters
    DROP CONSTRAINT dead_letters_hashed,
    DROP CONSTRAINT dead_letters_whole,
    DROP COLUMN sealed_by,
    ADD CONSTRAINT dead_letters_check CHECK ((value_length IS NULL) = (value_sha256 IS NULL)) NOT VALID,
    ADD CONSTRAINT dead_letters_check1 CHECK (value_length >= octet_length(value)) NOT VALID;
ALTER TABLE redrive_requests DROP COLUMN sealed_by;
ALTER TABLE events DROP COLUMN sealed;
COMMIT;
