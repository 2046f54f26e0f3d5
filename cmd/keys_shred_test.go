package cmd

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// The command erases by the databases, without the API and the role maintain, under the database login.
func TestKeysShred(t *testing.T) {
	url, journal := migratetest.Database(t), filepath.Join(t.TempDir(), "journal")
	configured := []string{"--postgres.url=" + url, "--encryption.kek_url=base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=",
		`--encryption.rules=[{"eventType":"*","path":"$.payload.name","subject":"$.payload.person"}]`}
	shred := func(args ...string) (int, string, string) {
		return invoke(t, append(append([]string{"keys", "shred"}, configured...), args...)...)
	}
	status, stdout, stderr := shred("--subject=c-7", "--reason=DPO-118", "--dry-run")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, "Not reached:")
	require.NoFileExists(t, journal)

	status, _, stderr = shred("--subject=c-7", "--reason=c-7 asked")
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "must not hold the subject")
	status, _, _ = shred("--subject=c-7")
	require.Equal(t, statusUsage, status)

	status, stdout, stderr = shred("--subject=c-7", "--reason=DPO-118", "--output=json", "--encryption.journal="+journal)
	require.Equal(t, statusDone, status, stderr)
	var report struct{ State, RequestedBy string }
	require.NoError(t, json.Unmarshal([]byte(stdout), &report))
	require.Equal(t, "done", report.State)
	require.Equal(t, "postgres", report.RequestedBy)
	written, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(written), "\n"))
	require.NotContains(t, string(written)+stderr+stdout, "c-7")

	_, _, stderr = shred("--journal=" + journal)
	require.Contains(t, stderr, "0 of them unknown")
	configured[0] = "--postgres.url=" + migratetest.Database(t) // as it was before
	status, stdout, stderr = shred("--journal="+journal, "--output=json")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stderr, "1 of them unknown")
	require.Contains(t, stdout, `"restored": true`)
}
