BEGIN;
DO $$
BEGIN
    IF EXISTS (SELECT FROM public.dead_letter_fates) THEN
        RAISE EXCEPTION 'dead letters were redriven or dismissed: without what became of them the accounting would not balance';
    END IF;
END
$$;
DROP TRIGGER refuse_older_writer ON ledger_batches;
CREATE TRIGGER refuse_older_writer BEFORE INSERT ON ledger_batches
    FOR EACH ROW WHEN (NEW.log = 'events' AND current_user = 'audittrail_ingest')
    EXECUTE FUNCTION refuse_older_writer();
REVOKE INSERT ON events, event_keys, ledger_batches, event_values, event_values_open FROM audittrail_replay;
REVOKE USAGE ON SEQUENCE event_batches FROM audittrail_replay;
REVOKE EXECUTE ON FUNCTION ensure_partition(text, date) FROM audittrail_replay;
DROP TRIGGER tally ON dead_letters;
DROP FUNCTION count_dead_letters();
DROP TABLE redrive_items, redrive_requests, dead_letter_fates, dead_letter_tally;
DROP FUNCTION tally_dead_letters(), tally_fates();
COMMIT;
