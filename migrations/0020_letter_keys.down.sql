BEGIN;
DROP FUNCTION destroy_letter_keys(timestamptz);
DROP TABLE letter_keys;
COMMIT;
