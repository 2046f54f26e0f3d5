-- What a replay does with sealed values.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

ALTER TABLE replays
    ADD COLUMN opens jsonb, -- of which events they are sent open; null: of none
    ADD COLUMN placeholders boolean NOT NULL DEFAULT false; -- others are sent as {"$sealed":true}; else the job fails at one

COMMIT;
