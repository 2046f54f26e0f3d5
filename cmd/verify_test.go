package cmd

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/ledger"
)

// vectors is where the published test vectors are.
const vectors = "../modules/evidence/testdata/"

func readEvidence(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(vectors + name)
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
	keys := vectors + "keys.txt"
	for _, file := range []string{
		vectors + "events.json", vectors + "access.json", vectors + "event.tlog-proof",
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
	out, errs, status := call(t, append([]string{"verify", vectors + "events.json", vectors + "access.json"}, text...)...)
	require.Equal(t, statusDone, status, errs)
	require.Equal(t, 2, strings.Count(out, ": proven\n"))
}

func TestVerifyStandardInput(t *testing.T) {
	stdin := os.Stdin
	t.Cleanup(func() { os.Stdin = stdin })
	f, err := os.Open(vectors + "events.json")
	require.NoError(t, err)
	defer f.Close()
	os.Stdin = f
	out, errs, status := call(t, "verify", "-", "--key", vectors+"keys.txt")
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, out, "standard input: proven\n")
}

// filesAnswer is what verify answers to programs.
type filesAnswer struct {
	Passed, Proven bool
	Files          []struct {
		Status, Form, Error string
		Entries, Proven     int
		Checkpoint          *struct{ Size int }
		FaultCount          int
		Faults              []struct {
			Kind, Detail, EventID string
			Entry                 int
			Index                 *int64
			KeyIDs                []string
		}
	}
}

func verifyJSON(t *testing.T, want int, args ...string) filesAnswer {
	t.Helper()
	out, errs, status := call(t, append([]string{"verify", "--output", "json"}, args...)...)
	require.Equal(t, want, status, out+errs)
	var report filesAnswer
	require.NoError(t, json.Unmarshal([]byte(out), &report))
	return report
}

// An export is complete, which is less than proven, and said to be.
func TestVerifyExports(t *testing.T) {
	keys, export := vectors+"keys.txt", readEvidence(t, "export.ndjson")
	last := strings.LastIndex(export, "\n{") + 1
	for _, file := range []string{vectors + "export.ndjson", writeFile(t, "x", gzipped(t, export))} {
		out, errs, status := call(t, "verify", file, "--key", keys)
		require.Equal(t, statusDone, status, errs)
		require.Contains(t, out, file+": complete\n  3 events are in it: ")
		require.Contains(t, out, "does not prove that they are genuine")
		require.Contains(t, out, "That checkpoint is genuine, signed by the key audit.example.com/shop/events+")
		require.NotContains(t, out, ": proven")
	}
	out, errs, status := call(t, "verify", writeFile(t, "unsigned", withoutCheckpoint(t, export)), "--key", keys)
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, out, "It names no checkpoint")

	report := verifyJSON(t, statusDone, vectors+"export.ndjson", vectors+"events.json", "--key", keys)
	require.True(t, report.Passed)
	require.False(t, report.Proven, "not all of it")
	require.Equal(t, "complete", report.Files[0].Status)
	require.Equal(t, "export", report.Files[0].Form)
	require.Equal(t, 3, report.Files[0].Entries)
	require.Zero(t, report.Files[0].Proven)
	require.Equal(t, 120, report.Files[0].Checkpoint.Size)
	require.Equal(t, "proven", report.Files[1].Status)
	require.True(t, verifyJSON(t, statusDone, vectors+"events.json", "--key", keys).Proven)

	for name, c := range map[string]struct{ file, kind, says string }{
		"without its trailer": {export[:last], "incomplete", "was cut behind line 3"},
		"cut":                 {export[:last-20], "incomplete", "cut in the middle of line 3"},
		"a byte other":        {strings.Replace(export, "order", "0rder", 1), "hash", "changed after the file was made"},
		"another count":       {strings.Replace(export, `"count":3`, `"count":2`, 1), "count", "holds 3 events, but was made with 2"},
		"its checkpoint":      {strings.Replace(export, `events\n120`, `events\n121`, 1), "bad_signature", "was changed after it was signed"},
		"two of them":         {export + export, "malformed", "something follows the trailer"},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "x.ndjson", c.file)
			out, _, status := call(t, "verify", file, "--key", keys)
			require.Equal(t, statusTampering, status, out)
			require.Contains(t, out, file+": NOT COMPLETE, OR CHANGED\n")
			require.Contains(t, out, c.says)
			report := verifyJSON(t, statusTampering, file, "--key", keys)
			require.False(t, report.Passed)
			require.Equal(t, "not_proven", report.Files[0].Status)
			require.Equal(t, 1, report.Files[0].FaultCount)
			require.Equal(t, c.kind, report.Files[0].Faults[0].Kind)
		})
	}
	report = verifyJSON(t, statusFailed, writeFile(t, "x", strings.Replace(export, `"version":`, `"version":0`, 1)), "--key", keys)
	require.Equal(t, "unreadable", report.Files[0].Status)
	require.Equal(t, "line 1 is not JSON", report.Files[0].Error)
}

// A checkpoint of another key is told from one that was changed, and the key that is missing is named.
func TestVerifyNamesTheKeyThatIsMissing(t *testing.T) {
	key, err := ledger.GenerateKey("audit.example.com/shop", rand.Reader) // the name of the log, but another key
	require.NoError(t, err)
	var missing string
	for line := range strings.Lines(readEvidence(t, "keys.txt")) {
		if name, rest, found := strings.Cut(line, "+"); found && strings.HasSuffix(name, "/events") {
			missing = name + "+" + rest[:8]
		}
	}
	rotated := key.VerifierKey(ledger.Events)
	for _, file := range []string{"events.json", "event.tlog-proof", "export.ndjson"} {
		out, _, status := call(t, "verify", vectors+file, "--key", rotated)
		require.Equal(t, statusTampering, status)
		require.Contains(t, out, "but by "+missing+": without that key nobody can tell whether it is genuine")
		require.Contains(t, out, "after a rotation")
		require.Contains(t, out, "Until that key is given")
		fault := verifyJSON(t, statusTampering, vectors+file, "--key", rotated).Files[0].Faults[0]
		require.Equal(t, "unknown_key", fault.Kind)
		require.Equal(t, []string{missing}, fault.KeyIDs)
	}
	changed := writeFile(t, "x.json", strings.Replace(readEvidence(t, "events.json"), `events\n120`, `events\n121`, 1))
	fault := verifyJSON(t, statusTampering, changed, "--key", vectors+"keys.txt").Files[0].Faults[0]
	require.Equal(t, "bad_signature", fault.Kind)
	require.Empty(t, fault.KeyIDs)
	require.Equal(t, "unknown_key", verifyJSON(t, statusTampering, changed, "--key", rotated).Files[0].Faults[0].Kind, "nobody can tell")
}

// What was found before a file ends unreadable is told, and weighs more.
func TestVerifyTellsWhatItFoundBeforeTheEnd(t *testing.T) {
	bundle, keys := readEvidence(t, "events.json"), vectors+"keys.txt"
	altered := strings.Replace(bundle, `"eventType":"`, `"eventType":"X`, 1)
	third := strings.LastIndex(bundle, "\n{\"event\"")
	export := readEvidence(t, "export.ndjson")
	lines := strings.SplitAfter(export, "\n")
	for name, c := range map[string]struct {
		text, kind, says string
		status, proven   int
	}{
		"a bundle cut":                {bundle[:third+100], "", "cut, or empty", statusFailed, 3},
		"a bundle cut behind a fault": {altered[:third+100], "not_included", "cut, or empty", statusTampering, 2},
		"garbage behind a fault":      {altered[:third] + "\x00\x01garbage", "not_included", "not JSON", statusTampering, 2},
		"gzip cut behind a fault":     {gzipped(t, altered)[:len(gzipped(t, altered))-30], "not_included", "cut", statusTampering, -1},
		"an export's repeated line":   {lines[0] + lines[0] + "garbage\n", "repeated", "line 3 is not JSON", statusTampering, 0},
	} {
		t.Run(name, func(t *testing.T) {
			file := writeFile(t, "x.json", c.text)
			out, errs, status := call(t, "verify", file, "--key", keys)
			require.Equal(t, c.status, status, out+errs)
			require.Contains(t, out, c.says)
			report := verifyJSON(t, c.status, file, "--key", keys).Files[0]
			require.Contains(t, report.Error, c.says)
			if c.proven >= 0 {
				require.Equal(t, c.proven, report.Proven)
			}
			if c.kind == "" {
				require.Equal(t, "unreadable", report.Status)
				require.Contains(t, out, "Up to there 3 of 3 events could be proven")
				return
			}
			require.Equal(t, "not_proven", report.Status)
			require.Equal(t, c.kind, report.Faults[0].Kind)
			require.Contains(t, out, "What follows can't be read, so there may be more: ")
		})
	}
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
			out, errs, status := call(t, "verify", file, vectors+"events.json", "--key", vectors+"keys.txt")
			require.Equal(t, statusTampering, status, out+errs)
			require.Contains(t, errs, "1 of 2 files do not prove what they say")
			require.Contains(t, out, file+": NOT PROVEN\n")
			require.Contains(t, out, c.says)
			require.Contains(t, out, "events.json: proven\n", "the other file is checked all the same")
			if c.kind == "" {
				return
			}
			report := verifyJSON(t, statusTampering, file, "--key", vectors+"keys.txt")
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
	_, errs, status := call(t, "verify", vectors+"events.json", "--key", writeFile(t, "keys", other))
	require.Equal(t, statusUsage, status, "its id does not fit any more")
	require.Contains(t, errs, "is not a verifier key")

	const stranger = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
	out, errs, status := call(t, "verify", vectors+"events.json", "--key", stranger)
	require.Equal(t, statusTampering, status, errs)
	require.Contains(t, out, "is not signed by any of the keys given (sum.golang.org+033de0ae)")
	require.Contains(t, out, "nothing that the file shows can be relied on")
	_, _, status = call(t, "verify", vectors+"events.json", "--key", stranger, "--key", vectors+"keys.txt")
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
			out, errs, status := call(t, "verify", file, "--key", vectors+"keys.txt")
			require.Equal(t, statusFailed, status, out)
			require.Contains(t, out+errs, c.says)
			require.Contains(t, out, "CAN'T BE READ")
		})
	}
	for _, missing := range []string{filepath.Join(t.TempDir(), "none.json"), t.TempDir()} {
		out, errs, status := call(t, "verify", missing, vectors+"events.json", "--key", vectors+"keys.txt", "--output", "json")
		require.Equal(t, statusFailed, status)
		require.Contains(t, out, `"unreadable"`)
		require.Contains(t, errs, "1 of 2 files can't be read")
	}
}

func TestWrongUseOfVerify(t *testing.T) {
	keys := vectors + "keys.txt"
	for says, args := range map[string][]string{
		"--key is missing":             {vectors + "events.json"},
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

// TestVerifyABundleInAnotherOrder: jq -S and jsonb columns put the entries before the checkpoint. A file is read
// twice then, gzip too; a pipe can't be, and is not called false for it.
func TestVerifyABundleInAnotherOrder(t *testing.T) {
	var members map[string]json.RawMessage
	require.NoError(t, json.Unmarshal([]byte(readEvidence(t, "events.json")), &members))
	for _, order := range [][]string{{"checkpoint", "entries", "format", "log"}, {"log", "format", "entries", "checkpoint"}} {
		var parts []string
		for _, name := range order {
			parts = append(parts, fmt.Sprintf("%q: %s", name, members[name]))
		}
		text := "{" + strings.Join(parts, ", ") + "}"
		changed := strings.Replace(text, `"recordedAt":"20`, `"recordedAt":"19`, 1)
		require.NotEqual(t, text, changed)
		for want, files := range map[int][]string{
			0: {writeFile(t, "e.json", text), writeFile(t, "e.json.gz", gzipped(t, text))},
			3: {writeFile(t, "changed.json", changed)},
			1: {writeFile(t, "cut.json", text[:len(text)-2])},
		} {
			for _, file := range files {
				out, errs, status := call(t, "verify", file, "--key", vectors+"keys.txt")
				require.Equal(t, want, status, out+errs)
			}
		}
		f, err := os.Open(writeFile(t, "redirected.json", text))
		require.NoError(t, err)
		defer f.Close()
		stdin := os.Stdin
		t.Cleanup(func() { os.Stdin = stdin })
		os.Stdin = f
		out, errs, status := call(t, "verify", "-", "--key", vectors+"keys.txt")
		require.Equal(t, 0, status, "a file that the shell opened: "+out+errs)

		from, to, err := os.Pipe()
		require.NoError(t, err)
		defer from.Close()
		go func() {
			_, _ = to.WriteString(text)
			_ = to.Close()
		}()
		os.Stdin = from
		out, errs, status = call(t, "verify", "-", "--key", vectors+"keys.txt")
		require.Equal(t, 1, status, out+errs)
		require.Contains(t, out+errs, "give it as a file, not by a pipe")
	}
}
