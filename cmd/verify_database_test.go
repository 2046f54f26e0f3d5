package cmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
	"audittrail/modules/verify"
)

func verifierKey(t *testing.T) (ledger.SigningKey, string) {
	t.Helper()
	key, err := ledger.GenerateKey("audit.example.com/test", rand.Reader)
	require.NoError(t, err)
	return key, key.VerifierKey(ledger.Events)
}

func TestVerifyDatabaseSaysThatAllIsIntact(t *testing.T) {
	signing, key := verifierKey(t)
	url := migratetest.Database(t)
	t.Setenv("AUDITTRAIL_NOTARY_STATE_FILE", filepath.Join(t.TempDir(), "none.json"))
	out, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url)
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "EMPTY: the event store has no entry")
	require.NotContains(t, out, "INTACT")

	appendOrders(t, url, 0, 3)
	out, errs, status = call(t, "verify", "--database", "--key", key, "--postgres.url", url)
	require.Equal(t, 1, status, "a new store is not signed yet")
	require.Contains(t, out, "NOT SIGNED YET")
	require.NotContains(t, out, "INTACT")
	require.Contains(t, errs, "not signed yet")

	sign(t, url, signing)
	out, errs, status = call(t, "verify", "--database", "--key", key, "--postgres.url", url)
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "INTACT")
	require.Contains(t, out, "The notary's state file is not here")
	require.Contains(t, out, "The ledger is that of audit.example.com/test.")
}

// TestVerifyDatabaseSaysWhatItComparedWith: programs are told of the notary's memory too.
func TestVerifyDatabaseSaysWhatItComparedWith(t *testing.T) {
	mine, key := verifierKey(t)
	other, err := ledger.GenerateKey("other.example.com", rand.Reader)
	require.NoError(t, err)
	url := migratetest.Database(t)
	for want, memory := range map[string]string{
		"absent":       "",
		"compared":     stateFile(t, mine, 0),
		"other_origin": stateFile(t, other, 0),
	} {
		if memory == "" { // a file that is named has to be there
			memory = filepath.Join(t.TempDir(), "none.json")
			_, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--notary.state_file", memory)
			require.Equal(t, 2, status)
			require.Contains(t, errs, "--notary.state_file: there is no file "+memory)
		}
		t.Setenv("AUDITTRAIL_NOTARY_STATE_FILE", memory)
		out, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--output", "json")
		require.Equal(t, 0, status, errs+out)
		var report struct {
			Intact             bool
			Origin, StateFile  string
			OutsideCheckpoints int
			Notices            []any
		}
		require.NoError(t, json.Unmarshal([]byte(out), &report))
		require.Equal(t, want, report.StateFile)
		require.Equal(t, want == "compared", report.OutsideCheckpoints == 1)
		require.Equal(t, "audit.example.com/test", report.Origin)
		require.NotNil(t, report.Notices, "an empty list, not null")
	}
}

// TestVerifyDatabaseSaysWhatItCouldNotCompare: a memory that no given key has signed was not compared.
func TestVerifyDatabaseSaysWhatItCouldNotCompare(t *testing.T) {
	mine, err := ledger.GenerateKey("audit.example.com/test", rand.Reader)
	require.NoError(t, err)
	_, key := verifierKey(t)
	out, _, status := call(t, "verify", "--database", "--key", key, "--postgres.url", migratetest.Database(t), "--notary.state_file", stateFile(t, mine, 0))
	require.Equal(t, 3, status)
	require.Contains(t, out, "remembers could not be compared")
	require.NotContains(t, out, "was compared too")
}

// stateFile is the memory of a notary that has signed an empty log, or one of that many entries.
func stateFile(t *testing.T, key ledger.SigningKey, size int64) string {
	t.Helper()
	signed := checkpointOf(t, key, size)
	state, err := json.Marshal(map[string]any{
		"format": "audittrail-notary/v1", "origin": key.Origin(),
		"logs": []any{map[string]any{"log": "events", "checkpoint": string(signed), "previous": 0, "signedAt": "2026-01-01T00:00:00Z"}},
	})
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "notary.json")
	require.NoError(t, os.WriteFile(path, state, 0o600))
	return path
}

func checkpointOf(t *testing.T, key ledger.SigningKey, size int64) []byte {
	t.Helper()
	signer, err := key.Signer(ledger.Events)
	require.NoError(t, err)
	root := ledger.EmptyRoot()
	if size > 0 {
		root = ledger.LeafHash(nil)
	}
	signed, err := ledger.Checkpoint{Origin: ledger.Events.Origin(key.Origin()), Size: size, Root: root}.Sign(signer)
	require.NoError(t, err)
	return signed
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

	var said bytes.Buffer
	status = run(t.Context(), []string{"verify", "--database", "--key", key, "--postgres.url", url}, &fullDisk{}, &said)
	require.Equal(t, 3, status, said.String())
	require.Contains(t, said.String(), "the report can't be written: no space left on device")
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

	_, err = conn.Exec(t.Context(), `INSERT INTO ledger_checkpoints (log, size, root, note, signed_at) VALUES ('events', 1, decode(repeat('ab', 32), 'hex'), 'a note', now())`)
	require.NoError(t, err)
	out, errs, status = call(t, args...)
	require.Equal(t, 3, status, errs)
	require.Regexp(t, "^NOT FINISHED", out)
	require.Contains(t, out, "- checkpoint untrusted")
	out, _, status = call(t, append(args, "--output", "json")...)
	require.Equal(t, 3, status)
	var report struct {
		Intact, Complete bool
		Counts           map[string]int64
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.False(t, report.Intact)
	require.False(t, report.Complete)
	require.EqualValues(t, 1, report.Counts["checkpoint_untrusted"])
}

// TestVerifyDatabaseRemembersMoreThanTheDatabase: an empty database is none that a checkpoint was signed of.
func TestVerifyDatabaseRemembersMoreThanTheDatabase(t *testing.T) {
	signing, key := verifierKey(t)
	url := migratetest.Database(t)
	dir := t.TempDir()
	kept := filepath.Join(dir, "checkpoint")
	require.NoError(t, os.WriteFile(kept, checkpointOf(t, signing, 17), 0o600))
	memory := stateFile(t, signing, 17)

	t.Setenv("AUDITTRAIL_NOTARY_STATE_FILE", filepath.Join(dir, "none"))
	out, errs, status := call(t, "verify", "--database", "--key", key, "--postgres.url", url, "--checkpoint", kept)
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
		"unsigned":        {[]string{"--key", key, "--postgres.url", "postgres://127.0.0.1:1/x", "--max-unsigned", "-1s"}, 2, "--max-unsigned"},
		"no checkpoint":   {[]string{"--key", key, "--postgres.url", "postgres://127.0.0.1:1/x", "--checkpoint", "nowhere"}, 2, "--checkpoint"},
		"another file":    {[]string{"--key", key, "--postgres.url", "postgres://127.0.0.1:1/x", "--checkpoint", "verify_database_test.go"}, 2, "is no checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			_, errs, status := call(t, append([]string{"verify", "--database"}, test.args...)...)
			require.Equal(t, test.status, status, errs)
			require.Contains(t, errs, test.says)
			require.NotContains(t, errs, "geheim")
		})
	}
}

// TestPrintVerificationTellsWhatIsNoFinding: what is not signed, since when, and what else to know.
func TestPrintVerificationTellsWhatIsNoFinding(t *testing.T) {
	var b strings.Builder
	require.NoError(t, printVerification(&b, &verify.Report{Intact: true, Complete: true, Events: 30,
		Logs:    []verify.LogReport{{Log: ledger.Events, Size: 30, Signed: 20, NotYetSigned: 10, UnsignedSince: "2026-01-01T00:00:00.000000Z", Checkpoints: 2, Complete: true}},
		Notices: []verify.Notice{{Log: ledger.Access, Detail: "one checkpoint\x1b is signed by another"}},
	}, ""))
	require.Contains(t, b.String(), "INTACT as far as it is signed")
	require.Contains(t, b.String(), "The oldest entry of the events log without a good signature was recorded at 2026-01-01T00:00:00.000000Z.")
	require.Contains(t, b.String(), `Note in the access log: one checkpoint\x1b is signed by another.`)
}

// sign keeps a checkpoint of the log of events as it is.
func sign(t *testing.T, url string, key ledger.SigningKey) {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), migratetest.AsRole(t, url, "audittrail_notary"))
	require.NoError(t, err)
	defer pool.Close()
	rows := store.NewLedger(pool, ledger.Events)
	size, err := rows.Size(t.Context())
	require.NoError(t, err)
	prover, err := ledger.NewProver(rows, size)
	require.NoError(t, err)
	root, err := prover.Root(t.Context())
	require.NoError(t, err)
	signer, err := key.Signer(ledger.Events)
	require.NoError(t, err)
	note, err := ledger.Checkpoint{Origin: ledger.Events.Origin(key.Origin()), Size: size, Root: root}.Sign(signer)
	require.NoError(t, err)
	require.NoError(t, rows.KeepCheckpoint(t.Context(), store.Checkpoint{Size: size, Root: root, Note: string(note), SignedAt: time.Now()}))
}

// TestAReplicaThatIsBehindIsNoTampering: nothing was found, so that the exit status is that of a failure.
func TestAReplicaThatIsBehindIsNoTampering(t *testing.T) {
	err := outcomeOfDatabase(&verify.Report{}, errors.New("this server is a replica that is behind"))
	var status *statusError
	require.NotErrorAs(t, err, &status)
	require.ErrorContains(t, err, "a replica that is behind")
}
