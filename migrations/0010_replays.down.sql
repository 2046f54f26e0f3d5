BEGIN;
DROP TABLE replay_failures, replays;
COMMIT;
