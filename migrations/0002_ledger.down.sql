BEGIN;
DROP TABLE ledger_tiles, ledger_checkpoints, ledger_pending;
DROP SEQUENCE access_batches;
DROP FUNCTION number_pending(text);
ALTER TABLE ledger_batches DROP COLUMN leaves;
COMMIT;
