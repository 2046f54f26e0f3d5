BEGIN;
DROP TRIGGER refuse_older_writer ON ledger_batches;
DROP FUNCTION refuse_older_writer();
DROP TABLE event_values, event_values_open;
DROP INDEX events_causation;
DO $$
DECLARE
    partition regclass;
BEGIN
    FOR partition IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'public.events'::regclass LOOP
        EXECUTE format('ALTER TABLE %s ALTER COLUMN payload SET STATISTICS -1', partition);
    END LOOP;
END
$$;
COMMIT;
