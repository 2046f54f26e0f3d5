-- The database role stays: it belongs to the cluster, and other databases may stand on it.
BEGIN;
DROP VIEW analyst_anomalies, analyst_steps, analyst_user_counts, analyst_event_counts, analyst_events;
SET LOCAL ROLE audittrail_owner;
REVOKE ALL ON SCHEMA public FROM audittrail_analyst;
COMMIT;
