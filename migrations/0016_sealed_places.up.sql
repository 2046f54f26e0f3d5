-- Where in its row the value of a token is sealed: as {"$sealed":place}, so that a search can ask for this very place.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- -1 is unknown, in rows from before and of a binary from before.
ALTER TABLE sealed_tokens
    ADD COLUMN place integer NOT NULL DEFAULT -1,
    DROP CONSTRAINT sealed_tokens_pkey,
    ADD PRIMARY KEY (token, timestamp, id, key, place);

COMMIT;
