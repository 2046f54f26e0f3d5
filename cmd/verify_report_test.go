package cmd

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/sumdb/note"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
)

// fullDisk takes nothing.
type fullDisk struct{ tried int }

func (d *fullDisk) Write([]byte) (int, error) {
	d.tried++
	return 0, errors.New("no space left on device")
}

// altered is a file of evidence that somebody changed.
func altered(t *testing.T) string {
	t.Helper()
	return writeFile(t, "altered.json", strings.Replace(readEvidence(t, "events.json"), `"eventType":"`, `"eventType":"X`, 1))
}

// What was found is not lowered by a report that can't be written, however much of it.
func TestVerifyKeepsWhatItFoundWhereTheReportIsLost(t *testing.T) {
	genuine, keys := vectors+"events.json", vectors+"keys.txt"
	for name, c := range map[string]struct {
		files  []string
		status int
		says   string
	}{
		"altered":            {[]string{altered(t)}, statusTampering, "the file does not prove what it says"},
		"altered at the end": {[]string{genuine, altered(t)}, statusTampering, "1 of 2 files do not prove"},
		"genuine":            {[]string{genuine}, statusFailed, ""},
		"missing":            {[]string{"none"}, statusFailed, "can't be read"},
	} {
		for _, output := range []string{"text", "json"} {
			t.Run(name+" as "+output, func(t *testing.T) {
				var errs bytes.Buffer
				disk := &fullDisk{}
				status := run(t.Context(), append([]string{"verify", "--key", keys, "--output", output}, c.files...), disk, &errs)
				require.Equal(t, c.status, status, errs.String())
				require.Contains(t, errs.String(), c.says)
				require.Contains(t, errs.String(), "the report can't be written: no space left on device")
				require.Equal(t, 1, disk.tried)
			})
		}
	}
}

// Whoever ends it while it looks at the second file is told what the first one is.
func TestVerifyInterruptedKeepsWhatItFound(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var errs bytes.Buffer
	status := run(ctx, []string{"verify", altered(t), altered(t), "--key", vectors + "keys.txt"}, cancelling{cancel}, &errs)
	require.Equal(t, statusTampering, status)
	require.Contains(t, errs.String(), "interrupted; 1 of 2 files do not prove what they say")
	status = run(ctx, []string{"verify", altered(t), "--key", vectors + "keys.txt"}, &bytes.Buffer{}, &errs)
	require.Equal(t, statusFailed, status)
}

// cancelling ends the work when the first report is written.
type cancelling struct{ cancel func() }

func (c cancelling) Write(b []byte) (int, error) {
	c.cancel()
	return len(b), nil
}

// A file whose name is no text is answered all the same, and hides no other.
func TestVerifyAnswersForAnyName(t *testing.T) {
	dir := t.TempDir()
	odd := filepath.Join(dir, "a\xff\u009b2J\x1b[1m\u202e.json")
	require.NoError(t, os.WriteFile(odd, []byte(readEvidence(t, "events.json")), 0o600))
	out, errs, status := call(t, "verify", "--output", "json", odd, altered(t), odd+"none", "--key", vectors+"keys.txt")
	require.Equal(t, statusTampering, status, errs)
	requireHarmless(t, out)
	var report struct {
		Files []struct{ File, Status, Error string }
	}
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	require.Equal(t, filepath.Join(dir, "a\ufffd\u009b2J\x1b[1m\u202e.json"), report.Files[0].File)
	require.Equal(t, "proven", report.Files[0].Status)
	require.Equal(t, "not_proven", report.Files[1].Status)
	require.Contains(t, report.Files[2].Error, "no such file")
}

// A log may have a name that misleads, where its key was made by another program: it is genuine, and shown
// safely.
func TestVerifyShowsNamesOfLogsSafely(t *testing.T) {
	const name = "audit\u202e\u200b.example/events"
	secret, public, err := note.GenerateKey(rand.Reader, name)
	require.NoError(t, err)
	signer, err := note.NewSigner(secret)
	require.NoError(t, err)
	signed, err := ledger.Checkpoint{Origin: name, Root: ledger.EmptyRoot()}.Sign(signer)
	require.NoError(t, err)
	var bundle bytes.Buffer
	w, err := evidence.NewBundleWriter(&bundle, ledger.Events, signed)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	file := writeFile(t, "x.json", bundle.String())
	for _, output := range []string{"text", "json"} {
		out, errs, status := call(t, "verify", file, "--key", public, "--output", output)
		require.Equal(t, statusDone, status, errs)
		require.Contains(t, out, `audit\u202e\u200b.example/events`)
		requireHarmless(t, out+errs)
	}
}

// A genuine checkpoint is said to be one, in every form of evidence, whatever became of the entry beside
// it; and nothing is said of it where it could not be looked at.
func TestVerifySaysWhatIsKnownOfTheCheckpoint(t *testing.T) {
	proof := readEvidence(t, "event.tlog-proof")
	extra, rest, found := strings.Cut(strings.TrimPrefix(proof, "c2sp.org/tlog-proof@v1\nextra "), "\n")
	require.True(t, found)
	entry, err := base64.StdEncoding.DecodeString(extra)
	require.NoError(t, err)
	with := func(entry string) string {
		return "c2sp.org/tlog-proof@v1\nextra " + base64.StdEncoding.EncodeToString([]byte(entry)) + "\n" + rest
	}
	const genuine, none = "Its signature is genuine, by the key ", "No checkpoint in it could be verified"
	for name, c := range map[string]struct{ text, says, not string }{
		"another type":   {with(strings.Replace(string(entry), `"eventType":"`, `"eventType":"X`, 1)), genuine, none},
		"a member more":  {with(strings.Replace(string(entry), `{`, `{"a":1,`, 1)), genuine, none},
		"no entry":       {with("nothing"), genuine, none},
		"a bundle":       {strings.Replace(readEvidence(t, "events.json"), `"eventType":"`, `"eventType":"X`, 1), genuine, none},
		"no proof":       {"c2sp.org/tlog-proof@v1\n" + "nothing", none, genuine},
		"its checkpoint": {strings.Replace(proof, "/events\n1", "/events\n2", 1), none, genuine},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "x", c.text)
			out, _, status := call(t, "verify", file, "--key", vectors+"keys.txt")
			require.Equal(t, statusTampering, status, out)
			require.Contains(t, out, c.says)
			require.NotContains(t, out, c.not)
			report := verifyJSON(t, statusTampering, file, "--key", vectors+"keys.txt").Files[0]
			require.Equal(t, c.says == genuine, report.Checkpoint != nil)
		})
	}
}

// Not parallel: the limit is the whole process's.
func TestVerifySparesMemory(t *testing.T) {
	given := debug.SetMemoryLimit(-1)
	defer debug.SetMemoryLimit(given)
	debug.SetMemoryLimit(math.MaxInt64)
	restore := sparingMemory()
	require.Less(t, debug.SetMemoryLimit(-1), int64(1<<30))
	restore()
	require.EqualValues(t, math.MaxInt64, debug.SetMemoryLimit(-1))
	debug.SetMemoryLimit(2 << 30) // as GOMEMLIMIT does
	restore = sparingMemory()
	require.EqualValues(t, 2<<30, debug.SetMemoryLimit(-1))
	restore()
	require.EqualValues(t, 2<<30, debug.SetMemoryLimit(-1))
}
