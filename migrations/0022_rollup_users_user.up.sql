-- The counts of one user: by the primary key they are found among those of all users, in all of the time.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

CREATE INDEX rollup_users_user ON rollup_users (user_id, unit, start);

COMMIT;
