package cmd

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// The command erases by the databases, without the API and the role maintain, under the database login.
func TestKeysShred(t *testing.T) {
	t.Parallel()
	url, journal := migratetest.Database(t), filepath.Join(t.TempDir(), "journal")
	shred := func(url string, args ...string) (int, string, string) {
		return invoke(t, append([]string{"keys", "shred", "--postgres.url=" + url, "--encryption.kek_url=base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=",
			`--encryption.rules=[{"eventType":"*","path":"$.payload.name","subject":"$.payload.person"}]`}, args...)...)
	}
	status, stdout, stderr := shred(url, "--subject=c-7", "--reason=DPO-118", "--dry-run")
	require.Equal(t, statusDone, status, stderr)
	require.Contains(t, stdout, "Not reached:")
	require.NoFileExists(t, journal)

	status, _, stderr = shred(url, "--subject=c-7", "--reason=C-7 asked")
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "must not hold the subject")
	status, _, stderr = shred(url, "--subject=c-7", "--reason=DPO-118\u202e")
	require.Equal(t, statusFailed, status)
	require.Contains(t, stderr, "(reason): must hold no character that changes the direction of text")
	status, _, _ = shred(url, "--subject=c-7")
	require.Equal(t, statusUsage, status)

	// An erasure goes on for seconds once the journal has it. Meanwhile the journal is carried out in another database,
	// which has never heard of it.
	erased := make(chan struct{})
	go func() {
		defer close(erased)
		status, stdout, stderr = shred(url, "--subject=c-7", "--reason=DPO-118", "--output=json", "--encryption.journal="+journal)
	}()
	require.Eventually(t, func() bool {
		text, err := os.ReadFile(journal)
		return err == nil && bytes.HasSuffix(text, []byte("\n"))
	}, time.Minute, 20*time.Millisecond)
	restored, report, told := shred(migratetest.Database(t), "--journal="+journal, "--output=json")
	<-erased
	require.Equal(t, statusDone, restored, told)
	require.Contains(t, told, "1 of them unknown")
	require.Contains(t, report, `"restored": true`)

	require.Equal(t, statusDone, status, stderr)
	var done struct{ State, RequestedBy string }
	require.NoError(t, json.Unmarshal([]byte(stdout), &done))
	require.Equal(t, "done", done.State)
	require.Equal(t, "postgres", done.RequestedBy)
	written, err := os.ReadFile(journal)
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(string(written), "\n"))
	require.NotContains(t, string(written)+stderr+stdout, "c-7")

	_, _, stderr = shred(url, "--journal="+journal)
	require.Contains(t, stderr, "0 of them unknown")
}
