package systemtest

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"audittrail/platform/longtest"
)

// independentVerifier is written in another language from docs/EVIDENCE.md alone.
const independentVerifier = "../../modules/evidence/testdata/verify.py"

// changes each make another claim of a bundle of one event: about the event, its place, its proof, the
// checkpoint.
var changes = []struct {
	what string
	at   *regexp.Regexp // its first group is what is changed
}{
	{"the payload", regexp.MustCompile(`"payload":\{.*?":"?([^"{}\[\],])`)},
	{"the type", regexp.MustCompile(`"eventType":"(.)`)},
	{"the time", regexp.MustCompile(`"timestamp":"\d{4}-\d\d-\d\dT\d\d:(\d)`)},
	{"when it was recorded", regexp.MustCompile(`"recordedAt":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.(\d)`)},
	{"the offset in Kafka", regexp.MustCompile(`"offset":(\d)`)},
	{"the salt", regexp.MustCompile(`"salt":"(.)`)},
	{"a hash of the proof", regexp.MustCompile(`"proof":\["(.)`)},
	{"the root", regexp.MustCompile(`"checkpoint":"[^\\]+\\n\d+\\n(.)`)},
	{"the size", regexp.MustCompile(`"checkpoint":"[^\\]+\\n(\d)`)},
	{"the signature", regexp.MustCompile(`— \S+ .{20}(.)`)},
}

// altered changes one character to another of its kind.
func altered(t *testing.T, bundle []byte, n int) (text []byte, what string) {
	t.Helper()
	change := changes[n%len(changes)]
	found := change.at.FindSubmatchIndex(bundle)
	if found == nil {
		t.Fatalf("no place to change %s in:\n%s", change.what, bundle)
	}
	text = bytes.Clone(bundle)
	if text[found[2]]++; text[found[2]] == '9'+1 || text[found[2]] == 'Z'+1 || text[found[2]] == 'z'+1 {
		text[found[2]]-- // stays a digit or a letter
		text[found[2]]--
	}
	return text, change.what
}

// takesEvidence fetches proofs of stored events one by one, and lets the independent verifier judge them,
// and each with one character changed.
func takesEvidence(t *testing.T, s *stack, api, token, key string) {
	t.Helper()
	python, err := exec.LookPath("python3")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("python3 is missing")
		}
		t.Skip("python3 is missing")
	}
	dir, bundles := t.TempDir(), longtest.Choose(t, 200, 1000)
	ids := one[[]string](s, fmt.Sprintf(`SELECT array_agg(event_id::text) FROM (SELECT event_id FROM events ORDER BY event_id LIMIT %d) AS e`, bundles))
	if len(ids) != bundles {
		t.Fatalf("%d events", len(ids))
	}
	var whole, changed, claims []string
	for n, id := range ids {
		status, bundle := get(t, api+"/v1/events/"+id+"/proof", token)
		if status != http.StatusOK {
			t.Fatalf("%s: %d %s", id, status, bundle)
		}
		other, what := altered(t, bundle, n)
		whole = append(whole, written(t, dir, id+".json", bundle))
		changed, claims = append(changed, written(t, dir, id+".changed.json", other)), append(claims, what)
	}
	judge := func(files []string, want int) []string {
		out, err := exec.CommandContext(t.Context(), python, append([]string{independentVerifier, "--key", key}, files...)...).Output()
		status := 0
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			status = exit.ExitCode()
		} else if err != nil {
			t.Fatal(err)
		}
		if status != want {
			t.Fatalf("%v, not status %d:\n%s", err, want, tail(out))
		}
		lines := strings.Split(strings.TrimSuffix(string(out), "\n"), "\n")
		if len(lines) != len(files) {
			t.Fatalf("%d lines for %d files", len(lines), len(files))
		}
		return lines
	}
	for _, line := range judge(whole, 0) {
		if !strings.Contains(line, ": proven, ") {
			t.Error(line)
		}
	}
	for n, line := range judge(changed, 3) {
		if strings.Contains(line, ": proven") {
			t.Errorf("%s was changed: %s", claims[n], line)
		}
	}
}

func written(t *testing.T, dir, name string, text []byte) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
