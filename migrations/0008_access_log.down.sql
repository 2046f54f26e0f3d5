BEGIN;
-- ensure_partition stays as it is: it knows a parent more than there is.
REVOKE EXECUTE ON FUNCTION ensure_partition(text, date) FROM audittrail_api;
DROP TABLE access_log;
COMMIT;
