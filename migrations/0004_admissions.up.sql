-- Which installation a database is, and what operators decided about offsets that Kafka lost.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- Processes of one consumer group tell each other this id: those of another installation must not be among
-- them. Triggers refuse every UPDATE, so the column is filled in as it is made.
ALTER TABLE installation ADD COLUMN id uuid NOT NULL DEFAULT gen_random_uuid();

-- A log that was seen to end before next_offset has lost records that are stored. It may grow again and hide
-- that, so it is remembered until an operator admits where to go on.
ALTER TABLE ingest_offsets
    ADD COLUMN cut_end bigint,      -- where the log ended when it was seen; null: nothing is known to be lost
    ADD COLUMN cut_at  timestamptz,
    ADD CONSTRAINT ingest_offsets_cut CHECK ((cut_end IS NULL) = (cut_at IS NULL));

-- What operators admitted: a partition goes on at to_offset although from_offset was next.
--
-- Forward, [from_offset, to_offset) is a range of absent offsets, and to_log is from_log. Backward, the offsets
-- mean other records than those that are accounted for already. The partition then goes on under another id,
-- to_log, as a topic does that was made again: ingest_offsets, ingest_ranges and dead_letters have it as their
-- topic_id.
CREATE TABLE ingest_admissions (
    number      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    from_offset bigint      NOT NULL,
    to_offset   bigint      NOT NULL CHECK (to_offset >= 0),
    admitted_at timestamptz NOT NULL DEFAULT now(),
    topic_id    uuid        NOT NULL, -- the topic's id in Kafka
    from_log    uuid        NOT NULL, -- the partition's topic_id in ingest_offsets until then
    to_log      uuid        NOT NULL, -- and from then on
    partition   integer     NOT NULL,
    topic       text        COLLATE "C" NOT NULL,
    admitted_by text        COLLATE "C" NOT NULL,
    reason      text        COLLATE "C" NOT NULL CHECK (reason <> ''),
    CHECK ((to_offset < from_offset) = (to_log <> from_log))
);
CREATE INDEX ingest_admissions_partition ON ingest_admissions (topic_id, partition, number);
SELECT protect('ingest_admissions');

GRANT SELECT ON ingest_admissions
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT ON ingest_admissions TO audittrail_ingest;
GRANT UPDATE (cut_end, cut_at) ON ingest_offsets TO audittrail_ingest;

COMMIT;
