package cmd

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
)

func verifierKey(t *testing.T) (ledger.SigningKey, string) {
	t.Helper()
	key, err := ledger.GenerateKey("audit.example.com/test", rand.Reader)
	require.NoError(t, err)
	return key, key.VerifierKey(ledger.Events)
}

func TestVerifyDatabaseSaysThatAllIsIntact(t *testing.T) {
	_, key := verifierKey(t)
	url := migratetest.Database(t)
	out, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--notary.state_file", filepath.Join(t.TempDir(), "none.json"))
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "INTACT")
	require.Contains(t, out, "The notary's state file is not here")
}

func TestVerifyDatabaseNamesWhatItFinds(t *testing.T) {
	_, key := verifierKey(t)
	url := migratetest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), `INSERT INTO event_keys VALUES ('00000000-0000-4000-8000-000000000001', 1, now(), '\x01')`)
	require.NoError(t, err)
	out, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url)
	require.Equal(t, 3, status, errs)
	require.Contains(t, out, "TAMPERING FOUND")
	require.Contains(t, out, "- key without event 00000000-0000-4000-8000-000000000001: ")

	out, _, status = call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--output", "json", "--workers", "1", "--findings", "1")
	require.Equal(t, 3, status)
	var report struct {
		Intact   bool
		Total    int64
		Counts   map[string]int64
		Logs     []struct{ Log string }
		Findings []struct{ Kind, EventID, Detail string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.Intact)
	require.EqualValues(t, 1, report.Counts["key_without_event"])
	require.Equal(t, "key_without_event", report.Findings[0].Kind)
	require.Len(t, report.Logs, 2)
}

// TestVerifyDatabaseThatCantBeFinished: what was found until then is told, and decides on the exit status.
func TestVerifyDatabaseThatCantBeFinished(t *testing.T) {
	_, key := verifierKey(t)
	url := migratetest.Database(t)
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer conn.Close(context.Background()) //nolint:errcheck // the test is over
	_, err = conn.Exec(t.Context(), `REVOKE SELECT ON ingest_ranges FROM audittrail_maintain`)
	require.NoError(t, err)
	args := []string{"verify", "--database", "--key", key, "--postgres.url", url, "--workers", "1"}
	out, errs, status := call(t, args...)
	require.Equal(t, 1, status, out)
	require.Contains(t, errs, "permission denied")
	require.Contains(t, out, "NOT FINISHED")
	require.NotContains(t, out, "INTACT")

	_, err = conn.Exec(t.Context(), `INSERT INTO ledger_tiles (log, level, tile, first, hashes) VALUES ('events', 1, 0, 0, decode(repeat('ab', 32), 'hex'))`)
	require.NoError(t, err)
	out, errs, status = call(t, args...)
	require.Equal(t, 3, status, errs)
	require.Regexp(t, "^NOT FINISHED", out)
	require.Contains(t, out, "- altered tile")
	out, _, status = call(t, append(args, "--output", "json")...)
	require.Equal(t, 3, status)
	var report struct {
		Intact, Complete bool
		Counts           map[string]int64
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.Intact)
	require.False(t, report.Complete)
	require.EqualValues(t, 1, report.Counts["tile_altered"])
}

// TestVerifyDatabaseRemembersMoreThanTheDatabase: an empty database is none that a checkpoint was signed of.
func TestVerifyDatabaseRemembersMoreThanTheDatabase(t *testing.T) {
	signing, key := verifierKey(t)
	url := migratetest.Database(t)
	signer, err := signing.Signer(ledger.Events)
	require.NoError(t, err)
	signed, err := ledger.Checkpoint{Origin: ledger.Events.Origin(signing.Origin()), Size: 17, Root: ledger.LeafHash(nil)}.Sign(signer)
	require.NoError(t, err)
	dir := t.TempDir()
	kept := filepath.Join(dir, "checkpoint")
	require.NoError(t, os.WriteFile(kept, signed, 0o600))
	state, err := json.Marshal(map[string]any{
		"format": "audittrail-notary/v1", "origin": signing.Origin(),
		"logs": []any{map[string]any{"log": "events", "checkpoint": string(signed), "previous": 0, "signedAt": "2026-01-01T00:00:00Z"}},
	})
	require.NoError(t, err)
	memory := filepath.Join(dir, "notary.json")
	require.NoError(t, os.WriteFile(memory, state, 0o600))

	out, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--checkpoint", kept, "--notary.state_file", filepath.Join(dir, "none"))
	require.Equal(t, 3, status, errs)
	require.Contains(t, out, kept+" signed 17 entries, the log has 0")
	out, errs, status = call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--notary.state_file", memory)
	require.Equal(t, 3, status, errs)
	require.Contains(t, out, "the notary's state file signed 17 entries, the log has 0")
}

func TestVerifyDatabaseRefuses(t *testing.T) {
	_, key := verifierKey(t)
	for name, test := range map[string]struct {
		args   []string
		status int
		says   string
	}{
		"no database":     {[]string{"--key", key}, 2, "postgres.url"},
		"a database away": {[]string{"--key", key, "--postgres.url", "postgres://u:geheim@127.0.0.1:1/x"}, 1, "connect to postgres.url"},
		"no key":          {[]string{"--postgres.url", "postgres://127.0.0.1:1/x"}, 2, "--key"},
		"workers":         {[]string{"--key", key, "--postgres.url", "postgres://127.0.0.1:1/x", "--workers", "-1"}, 2, "--workers"},
		"no checkpoint":   {[]string{"--key", key, "--postgres.url", "postgres://127.0.0.1:1/x", "--checkpoint", "nowhere"}, 2, "--checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, status := call(t, append([]string{"verify", "--database"}, test.args...)...)
			require.Equal(t, test.status, status, errs)
			require.Contains(t, errs, test.says)
			require.NotContains(t, errs, "geheim")
		})
	}
}
