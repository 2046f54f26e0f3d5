BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;
ALTER TABLE dead_letters DROP COLUMN record_time;
REVOKE SELECT ON shredded_subjects FROM audittrail_maintain;
CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger
    LANGUAGE plpgsql
    SET search_path = pg_catalog, pg_temp
AS $$
BEGIN
    RAISE EXCEPTION 'history is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;
DROP FUNCTION subject_key(bytea), destroy_subject_keys(bytea, timestamptz, uuid[]), sweep_key(uuid, integer);
DROP TRIGGER keep_destroyed ON subject_keys;
DROP FUNCTION keep_destroyed();
REVOKE USAGE ON SEQUENCE access_batches FROM audittrail_maintain;
REVOKE INSERT ON access_log, ledger_pending FROM audittrail_maintain;
DROP TABLE shreds;
COMMIT;
