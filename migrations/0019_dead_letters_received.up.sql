-- The detectors ask every hour for the dead letters of a week. Of a million letters that read all pages, 1.3 s; by this
-- index it reads those of the week, 0.04 s. Letters are stored in the order of their time, so BRIN will do: it has 56 kB,
-- appends pay nothing for it, and building it keeps appends of dead letters waiting for 1.5 s a million letters.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;
CREATE INDEX dead_letters_received ON dead_letters USING brin (received_at) WITH (autosummarize = on);
COMMIT;
