BEGIN;
DROP INDEX dead_letters_received;
COMMIT;
