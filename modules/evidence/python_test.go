package evidence_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// python runs testdata/verify.py, which knows nothing of this package but docs/EVIDENCE.md.
func python(t *testing.T, arguments ...string) (out string, status int) {
	t.Helper()
	path, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is missing")
		}
		t.Skip("python3 is missing")
	}
	cmd := exec.CommandContext(t.Context(), path, append([]string{filepath.Join("testdata", "verify.py")}, arguments...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || stderr.Len() > 0 {
		t.Fatalf("%v\n%s%s", err, &stdout, &stderr)
	}
	return stdout.String(), cmd.ProcessState.ExitCode()
}

func TestPythonKnowsTheVectors(t *testing.T) {
	if out, status := python(t, "--vectors", filepath.Join("testdata", "vectors.json")); status != 0 || out != "all vectors fit\n" {
		t.Errorf("status %d: %s", status, out)
	}
}

func TestPythonVerifiesTheCommittedEvidence(t *testing.T) {
	key := filepath.Join("testdata", "keys.txt")
	out, status := python(t, "--key", key, filepath.Join("testdata", "events.json"), filepath.Join("testdata", "access.json"), filepath.Join("testdata", "event.tlog-proof"), filepath.Join("testdata", "export.ndjson"))
	if status != 0 || strings.Count(out, ": proven, ") != 3 || strings.Count(out, ": complete, 3 events") != 1 {
		t.Errorf("status %d: %s", status, out)
	}
	if _, status := python(t, "--key", ledgertest.Key(t, 2).VerifierKey(ledger.Events), filepath.Join("testdata", "events.json")); status != 3 {
		t.Errorf("another's key: status %d", status)
	}
	if _, status := python(t, "--key", key, filepath.Join("testdata", "keys.txt")); status != 1 {
		t.Errorf("no JSON: status %d", status)
	}
}

// Two verifiers, written apart, agree on thousands of pieces of evidence: a thousand whole ones, and as
// many that were changed in one place, in every way.
func TestPythonAgrees(t *testing.T) {
	const size = 1200
	events, access := newHistory(t, size), newAccessHistory(t, 300)
	keys := ledgertest.Trusting(t, events.key)
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	var files []string
	var verdicts []string
	add := func(text string) {
		name := filepath.Join(dir, fmt.Sprint(len(files)))
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		files = append(files, name)
		verdicts = append(verdicts, verdict(t, text, keys))
	}
	var all []int
	for i := range size {
		all = append(all, i)
		add(events.bundle(i))
	}
	add(events.bundle(all...))
	for i := range 300 {
		add(access.bundle(i))
		add(events.textProof(i))
		add(events.export(i, (i+1)%size))
	}
	add(events.export())
	add(events.exportBy("", all...))
	whole := len(files)
	var originals []string // of those that follow
	for i := range 2000 {
		text := []string{events.bundle(i % size), events.bundle(i%size, (i+7)%size), access.bundle(i % 300), events.textProof(i % size), events.export(i%size, (i+7)%size)}[i%5]
		changed := text
		for changed == text {
			changed = mutate(random, text)
		}
		add(changed)
		originals = append(originals, text)
	}
	proven := 0
	for from := 0; from < len(files); from += 500 {
		to := min(from+500, len(files))
		out, _ := python(t, append([]string{"--key", events.key.VerifierKey(ledger.Events), "--key", events.key.VerifierKey(ledger.Access)}, files[from:to]...)...)
		lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
		if len(lines) != to-from {
			t.Fatalf("%d files, %d lines", to-from, len(lines))
		}
		for i, line := range lines {
			n := from + i
			if n < whole && verdicts[n] != "proven" && verdicts[n] != "complete" {
				t.Errorf("file %d is %s", n, verdicts[n])
			}
			got := strings.SplitN(line, ": ", 3)[1]
			if !strings.HasPrefix(got, verdicts[n]) {
				text, _ := os.ReadFile(files[n])
				t.Errorf("we say %s, Python says %s:\n%s", verdicts[n], line, text)
			}
			if n >= whole && verdicts[n] == "complete" {
				t.Errorf("file %d was changed, and is complete", n)
			}
			if n >= whole && verdicts[n] == "proven" {
				proven++
				text, err := os.ReadFile(files[n])
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(meaning(t, text), meaning(t, []byte(originals[n-whole]))) {
					t.Errorf("both verifiers prove what was changed:\n%s\nIt was:\n%s", text, originals[n-whole])
				}
			}
		}
	}
	if proven == 0 {
		t.Error("no change was only one of spelling: nothing was compared")
	}
}

// verdict is ours, in the script's words.
func verdict(t *testing.T, text string, keys ledger.Keys) string {
	t.Helper()
	report, err := verify(text, keys)
	var notProven *evidence.NotProvenError
	var unreadable *evidence.UnreadableError
	switch {
	case err == nil && report.Form == evidence.FormExport:
		return "complete"
	case err == nil:
		return "proven"
	case errors.As(err, &notProven):
		return "NOT PROVEN"
	case errors.As(err, &unreadable):
		return "unreadable"
	}
	t.Fatal(err)
	return ""
}

// mutate changes a text in one place: a bit, a byte, a piece cut, doubled or put elsewhere, or a spelling
// that parsers are known to differ on.
func mutate(random *rand.Rand, text string) string {
	at := random.IntN(len(text))
	end := min(at+1+random.IntN(40), len(text))
	switch random.IntN(7) {
	case 0:
		return text[:at] + string([]byte{text[at] ^ 1<<random.IntN(8)}) + text[at+1:]
	case 1:
		return text[:at] + string([]byte{byte(random.IntN(256))}) + text[at+1:]
	case 2:
		return text[:at] + text[end:]
	case 3:
		return text[:end] + text[at:]
	case 4:
		return text[:at] + "0" + text[at:]
	}
	swaps := [][2]string{{`"count":`, `"count":0`}, {`"count":2`, `"count":2.0`}, {`{"complete"`, "\n{\"complete\""}, {`"complete":true`, `"complete":tru`}, {"}\n{", "}{"}, {"}\n{", "},\n{"},
		{`"index":`, `"index":0`}, {`"version":1`, `"version":1.0`}, {`"version":1`, `"version":1e0`}, {`"version":1`, `"version":true`},
		{`"eventType":`, `"eventType":"x","eventType":`}, {`"eventType":`, `"\u0065ventType":"x","eventType":`}, {`"eventType":`, `"note":null,"eventType":`},
		{`"salt":"`, `"salt":"\u0000`}, {`"salt":"`, `"salt":"\ud800`}, {`"salt":"`, `"salt":"A`}, {`.000000Z"`, `.000000+00:00"`}, {`.000000Z"`, `Z"`},
		{`"partition":`, `"partition":-`}, {`"offset":`, `"offset":1e0,"offset":`}, {`"position":`, `"position":1e400,"x":`}, {`"proof":[`, `"proof":[[],`},
		{`"proof":[`, `"proof":["",`}, {`==`, `=`}, {`="`, `"`}, {`"log":"events"`, `"log":"access"`}, {`"log":"`, `"log":null,"x":"`}, {`,`, `,,`}, {`}`, `,}`},
		{`"entries":[`, `"entries":[{},`}, {`"entries":[`, `"entries":[null,`}, {`\n`, `\r\n`}, {"\n", "\r\n"}, {`:`, `: NaN,"":`}, {`{`, "\ufeff{"}, {`"`, `'`},
		{`"events":`, `"events":-0.0e1,"Events":`}, {`"payload":{`, `"payload":{"n":1e1001,`}, {`"payload":{`, `"payload":{"😀":1,"\ufb33":2,`}, {"\u2014", "-"}, {"@v1", "@v2"}, {"index ", "index  "}}
	swap := swaps[random.IntN(len(swaps))]
	return strings.Replace(text, swap[0], swap[1], 1)
}
