package cmd

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// evidence is where the published test vectors are.
const evidence = "../modules/ledger/testdata/"

func readEvidence(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(evidence + name)
	require.NoError(t, err)
	return string(b)
}

// writeFile makes a file of a test.
func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	require.NoError(t, os.WriteFile(path, []byte(text), 0o600))
	return path
}

func gzipped(t *testing.T, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, err := w.Write([]byte(text))
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return b.String()
}

func TestVerifyGenuineEvidence(t *testing.T) {
	keys := evidence + "keys.txt"
	for _, file := range []string{
		evidence + "events.json", evidence + "access.json", evidence + "event.tlog-proof",
		writeFile(t, "no-ending", gzipped(t, readEvidence(t, "events.json"))),
	} {
		out, errs, status := call(t, "verify", file, "--key", keys)
		require.Equal(t, statusDone, status, errs)
		require.Contains(t, out, file+": proven\n")
		require.Contains(t, out, "Its signature is genuine, by the key ")
	}
	text := []string{}
	for line := range strings.Lines(readEvidence(t, "keys.txt")) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			text = append(text, "--key", line)
		}
	}
	out, errs, status := call(t, append([]string{"verify", evidence + "events.json", evidence + "access.json"}, text...)...)
	require.Equal(t, statusDone, status, errs)
	require.Equal(t, 2, strings.Count(out, ": proven\n"))
}

func TestVerifyStandardInput(t *testing.T) {
	stdin := os.Stdin
	t.Cleanup(func() { os.Stdin = stdin })
	f, err := os.Open(evidence + "events.json")
	require.NoError(t, err)
	defer f.Close()
	os.Stdin = f
	out, errs, status := call(t, "verify", "-", "--key", evidence+"keys.txt")
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, out, "standard input: proven\n")
}

// Whatever does not prove what it says is named, by event and position, with status 3.
func TestVerifyAlteredEvidence(t *testing.T) {
	bundle := readEvidence(t, "events.json")
	var shown struct {
		Entries []struct {
			Event struct{ EventID, EventType string }
			Index int64
		}
	}
	require.NoError(t, json.Unmarshal([]byte(bundle), &shown))
	first := shown.Entries[0]
	for name, c := range map[string]struct{ file, kind, says string }{
		"an event": {strings.Replace(bundle, `"eventType":"`+first.Event.EventType, `"eventType":"`+first.Event.EventType+"X", 1),
			"not_included", "event " + first.Event.EventID + ", position "},
		"a proof":      {strings.Replace(bundle, `"proof":["`, `"proof":["AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=","`, 1), "not_included", first.Event.EventID},
		"a checkpoint": {strings.Replace(bundle, `events\n`, `events\n1`, 1), "bad_signature", "was changed after it was signed"},
		"its cut":      {strings.Replace(bundle, `\n\n— `, `\n`, 1), "malformed", "cut or changed"},
		"a format":     {strings.Replace(bundle, `evidence/v1`, `evidence/v2`, 1), "malformed", "format"},
		"an entry":     {strings.Replace(bundle, `"entries":[`, `"entries":[{},`, 1), "malformed", "entry 1: it lacks"},
		"all of it":    {`{}`, "malformed", "no entries"},
		"a text":       {strings.Replace(readEvidence(t, "event.tlog-proof"), "\nindex ", "\nindex 1", 1), "", "NOT PROVEN"},
	} {
		t.Run(name, func(t *testing.T) {
			require.NotEqual(t, bundle, c.file)
			file := writeFile(t, "altered.json", c.file)
			out, errs, status := call(t, "verify", file, evidence+"events.json", "--key", evidence+"keys.txt")
			require.Equal(t, statusTampering, status, out+errs)
			require.Contains(t, errs, "1 of 2 files do not prove what they say")
			require.Contains(t, out, file+": NOT PROVEN\n")
			require.Contains(t, out, c.says)
			require.Contains(t, out, "events.json: proven\n", "the other file is checked all the same")
			if c.kind == "" {
				return
			}
			out, _, status = call(t, "verify", file, "--key", evidence+"keys.txt", "--output", "json")
			require.Equal(t, statusTampering, status)
			var report struct {
				Proven bool
				Files  []struct {
					Status     string
					FaultCount int
					Faults     []struct {
						Kind, Detail, EventID string
						Entry                 int
						Index                 *int64
					}
				}
			}
			require.NoError(t, json.Unmarshal([]byte(out), &report))
			require.False(t, report.Proven)
			require.Equal(t, "not_proven", report.Files[0].Status)
			require.Equal(t, 1, report.Files[0].FaultCount)
			fault := report.Files[0].Faults[0]
			require.Equal(t, c.kind, fault.Kind)
			if c.kind == "not_included" {
				require.Equal(t, first.Event.EventID, fault.EventID)
				require.Equal(t, first.Index, *fault.Index)
			}
		})
	}
}

func TestVerifyWithAnotherKey(t *testing.T) {
	other := strings.Replace(readEvidence(t, "keys.txt"), "events+", "others+", 1)
	_, errs, status := call(t, "verify", evidence+"events.json", "--key", writeFile(t, "keys", other))
	require.Equal(t, statusUsage, status, "its id does not fit any more")
	require.Contains(t, errs, "is not a verifier key")

	const stranger = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	out, errs, status := call(t, "verify", evidence+"events.json", "--key", stranger)
	require.Equal(t, statusTampering, status, errs)
	require.Contains(t, out, "is not signed by any of the keys given (sum.golang.org+033de0ae)")
	require.Contains(t, out, "nothing that the file shows can be relied on")
	_, _, status = call(t, "verify", evidence+"events.json", "--key", stranger, "--key", evidence+"keys.txt")
	require.Equal(t, statusDone, status)
}

// What can't be read is no evidence of tampering.
func TestVerifyUnreadableFiles(t *testing.T) {
	bundle := readEvidence(t, "events.json")
	zipped := gzipped(t, bundle)
	for name, c := range map[string]struct{ text, says string }{
		"empty":        {"", "cut, or empty"},
		"cut":          {bundle[:len(bundle)-5], "in the middle of JSON"},
		"no JSON":      {"<html>", "not JSON"},
		"cut gzip":     {zipped[:len(zipped)-20], "can't be read"},
		"damaged gzip": {zipped[:len(zipped)-8] + "00000000", "gzip, and damaged"},
		"not gzip":     {"\x1f\x8bnonsense", "gzip, and damaged"},
		"two of them":  {bundle + bundle, "something follows"},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "x.json", c.text)
			out, errs, status := call(t, "verify", file, "--key", evidence+"keys.txt")
			require.Equal(t, statusFailed, status, out)
			require.Contains(t, out+errs, c.says)
			require.Contains(t, out, "CAN'T BE READ")
		})
	}
	for _, missing := range []string{filepath.Join(t.TempDir(), "none.json"), t.TempDir()} {
		out, errs, status := call(t, "verify", missing, evidence+"events.json", "--key", evidence+"keys.txt", "--output", "json")
		require.Equal(t, statusFailed, status)
		require.Contains(t, out, `"unreadable"`)
		require.Contains(t, errs, "1 of 2 files can't be read")
	}
}

func TestWrongUseOfVerify(t *testing.T) {
	keys := evidence + "keys.txt"
	for says, args := range map[string][]string{
		"--key is missing":             {evidence + "events.json"},
		"give the files to check":      {"--key", keys},
		"--database checks no files":   {"--database", "x.json", "--key", keys},
		"neither a key":                {"x.json", "--key", "no/such/file"},
		"longer than any file of keys": {"x.json", "--key", writeFile(t, "large", strings.Repeat("#\n", 40_000))},
		"is a private signing key":     {"x.json", "--key", "PRIVATE+KEY+audit.test+12345678+AAAA"},
		"must be one of text, json":    {"x.json", "--key", keys, "--output", "table"},
		"holds no key":                 {"x.json", "--key", writeFile(t, "empty", "")},
	} {
		t.Run(says, func(t *testing.T) {
			out, errs, status := call(t, append([]string{"verify"}, args...)...)
			require.Equal(t, statusUsage, status, errs)
			require.Contains(t, errs, says)
			require.Empty(t, out)
			require.NotContains(t, errs, "AAAA", "a private key is not shown")
		})
	}
}
