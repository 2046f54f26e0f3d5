-- Sealed values, and the keys that open them.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- The sealed values of a row, in the order of their places {"$sealed":n} in payload and metadata. Ciphertext in the
-- payload would double what its index costs.
ALTER TABLE events ADD COLUMN sealed bytea;
DO $$
DECLARE
    partition regclass;
BEGIN
    ALTER TABLE events ALTER COLUMN sealed SET STORAGE EXTERNAL; -- it does not compress
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'public.events'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN sealed SET STORAGE EXTERNAL', partition);
    END LOOP;
END
$$;

-- Which events hold values of a subject's key: found by it without a scan. It goes when the key does.
CREATE TABLE sealed_refs (
    key       uuid        NOT NULL,
    timestamp timestamptz NOT NULL,
    id        bigint      NOT NULL,
    PRIMARY KEY (key, timestamp, id)
);

-- Which events hold a sealed value, by a keyed hash of it. No history: rows go with the subject's key.
CREATE TABLE sealed_tokens (
    token     bytea       NOT NULL, -- 16 bytes
    timestamp timestamptz NOT NULL,
    id        bigint      NOT NULL,
    key       uuid        NOT NULL,
    PRIMARY KEY (token, timestamp, id, key)
);
CREATE INDEX sealed_tokens_key ON sealed_tokens (key);

GRANT SELECT ON sealed_refs, sealed_tokens
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT ON sealed_refs, sealed_tokens TO audittrail_ingest, audittrail_replay;

-- The key that a dead letter's value is sealed with; null where the value is as it was received.
-- A sealed one has no SHA-256, which would confirm a guess, and is longer than the value.
ALTER TABLE dead_letters
    ADD COLUMN sealed_by uuid,
    DROP CONSTRAINT dead_letters_check,
    DROP CONSTRAINT dead_letters_check1,
    ADD CONSTRAINT dead_letters_hashed CHECK (CASE WHEN sealed_by IS NULL THEN (value_length IS NULL) = (value_sha256 IS NULL) ELSE value_sha256 IS NULL END),
    ADD CONSTRAINT dead_letters_whole CHECK (sealed_by IS NOT NULL OR value_length >= octet_length(value));

-- The key that the value of a redrive is sealed with, in the same way.
ALTER TABLE redrive_requests ADD COLUMN sealed_by uuid;

-- The keys. They may be in another database (encryption.keys_url), which has this schema too.
CREATE TABLE wrapping_keys (
    id         uuid        PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    wrapped    bytea       NOT NULL -- by the key-encryption key
);
CREATE TABLE root_key (
    singleton  boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    wrapped_by uuid    NOT NULL REFERENCES wrapping_keys,
    wrapped    bytea   NOT NULL
);
-- A row stays when its key is destroyed, so that erased values are told from those of a key that is missing.
CREATE TABLE subject_keys (
    id         uuid        PRIMARY KEY,
    created_at timestamptz NOT NULL DEFAULT now(),
    wrapped_by uuid        NOT NULL REFERENCES wrapping_keys,
    subject    bytea       NOT NULL, -- a keyed hash
    wrapped    bytea                 -- null once the key is destroyed
);
CREATE UNIQUE INDEX subject_keys_subject ON subject_keys (subject) WHERE wrapped IS NOT NULL;

-- When a subject was erased: records from before are sealed under a key that nobody keeps.
CREATE TABLE shredded_subjects (
    subject     bytea       PRIMARY KEY, -- a keyed hash
    shredded_at timestamptz NOT NULL
);

GRANT SELECT ON wrapping_keys, root_key, subject_keys, shredded_subjects TO audittrail_ingest, audittrail_api, audittrail_replay;
GRANT INSERT ON wrapping_keys, root_key, subject_keys TO audittrail_ingest, audittrail_api, audittrail_replay;

COMMIT;
