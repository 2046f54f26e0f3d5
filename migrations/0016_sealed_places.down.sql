BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

DELETE FROM sealed_tokens AS t USING sealed_tokens AS o
    WHERE (o.token, o.timestamp, o.id, o.key) = (t.token, t.timestamp, t.id, t.key) AND o.place < t.place;
ALTER TABLE sealed_tokens DROP CONSTRAINT sealed_tokens_pkey, DROP COLUMN place, ADD PRIMARY KEY (token, timestamp, id, key);

COMMIT;
