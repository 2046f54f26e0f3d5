BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

DROP INDEX rollup_users_user;

COMMIT;
