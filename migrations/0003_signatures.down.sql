BEGIN;
DROP TABLE ledger_signatures;
COMMIT;
