-- Drops the event store. The command refuses it where the tables hold rows, unless told --destroy-data.
-- Database roles stay: they belong to the cluster, and other databases may stand on them.
BEGIN;
DROP TABLE dead_letter_outbox, dead_letters, ingest_ranges, ingest_offsets, ingest_topics,
           ledger_batches, event_keys, events, installation;
DROP SEQUENCE event_batches;
DROP FUNCTION ensure_partition(text, date), protect(regclass), refuse_change();
COMMIT;
