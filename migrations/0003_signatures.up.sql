-- Signatures that are added to a checkpoint after it was kept: a new key's over a log that does not grow.
BEGIN;
SET LOCAL ROLE audittrail_owner;
SET LOCAL search_path = public, pg_temp;

-- A note is a text, a blank line and signature lines, so whoever reads the checkpoint appends these. A key
-- signs a size once.
CREATE TABLE ledger_signatures (
    size      bigint      NOT NULL,
    signed_at timestamptz NOT NULL,
    log       text        COLLATE "C" NOT NULL,
    signer    text        COLLATE "C" NOT NULL, -- the key: <name>+<id>
    line      text        COLLATE "C" NOT NULL CHECK (line LIKE '— %' AND strpos(line, E'\n') = 0 AND octet_length(line) <= 1000), -- C2SP signed-note
    PRIMARY KEY (log, size, signer),
    FOREIGN KEY (log, size) REFERENCES ledger_checkpoints
);
SELECT protect('ledger_signatures');

GRANT SELECT ON ledger_signatures
    TO audittrail_ingest, audittrail_api, audittrail_replay, audittrail_maintain, audittrail_notary;
GRANT INSERT ON ledger_signatures TO audittrail_notary;

COMMIT;
