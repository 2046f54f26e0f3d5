-- The database role stays: it belongs to the cluster, and other databases may stand on it.
BEGIN;
DROP FUNCTION reset_analytics();
DROP TABLE rollup_users, rollup_events, analytics_cursors;
SET LOCAL ROLE audittrail_owner;
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM audittrail_analytics;
REVOKE ALL ON SCHEMA public FROM audittrail_analytics;
COMMIT;
