-- Length and SHA-256 of a dead letter's value: of one that is too large, only the beginning is kept.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- Both are NULL where the record had no value. They are NULL too in rows that were written before, which
-- keep their whole value: whoever reads them computes both.
ALTER TABLE dead_letters
    ADD COLUMN value_length bigint,
    ADD COLUMN value_sha256 bytea,
    ADD CHECK (octet_length(value_sha256) = 32),
    ADD CHECK ((value_length IS NULL) = (value_sha256 IS NULL)),
    ADD CHECK (value_length >= octet_length(value));

COMMIT;
