-- Which keys are those of dead letters, so that they can be destroyed in time by who knows no key.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

CREATE TABLE letter_keys (
    key   uuid PRIMARY KEY,
    month date NOT NULL -- in which its dead letters are received
);
INSERT INTO letter_keys
    SELECT sealed_by, date_trunc('month', min(received_at) AT TIME ZONE 'UTC')::date FROM dead_letters WHERE sealed_by IS NOT NULL GROUP BY sealed_by;
GRANT SELECT ON letter_keys TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain;
GRANT INSERT ON letter_keys TO audittrail_ingest, audittrail_api, audittrail_replay;

-- destroy_letter_keys destroys the keys of months that had ended by a moment, tells everybody who listens, and answers
-- how many there were.
CREATE FUNCTION destroy_letter_keys(by_then timestamptz) RETURNS bigint
    LANGUAGE plpgsql
    SECURITY DEFINER
    SET search_path = pg_catalog, pg_temp
AS $$
DECLARE
    destroyed bigint;
BEGIN
    UPDATE public.subject_keys AS k SET wrapped = NULL FROM public.letter_keys AS l
    WHERE k.id = l.key AND k.wrapped IS NOT NULL AND (l.month + interval '1 month') AT TIME ZONE 'UTC' <= by_then;
    GET DIAGNOSTICS destroyed = ROW_COUNT;
    IF destroyed > 0 THEN
        PERFORM pg_notify('audittrail_shredded', '');
    END IF;
    RETURN destroyed;
END
$$;
REVOKE ALL ON FUNCTION destroy_letter_keys(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION destroy_letter_keys(timestamptz) TO audittrail_maintain;

COMMIT;
