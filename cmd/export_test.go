package cmd

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
	"audittrail/platform/console"
)

// exportAPI answers exports with text; one that is cut ends without the end of its HTTP. It notes queries.
func exportAPI(t *testing.T, text string, cut bool) *[]url.Values {
	t.Helper()
	queries := &[]url.Values{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*queries = append(*queries, r.URL.Query())
		if r.URL.Path != "/v1/events/export" || r.Header.Get("Authorization") != "Bearer s3cret" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprint(w, `{"status":503,"code":"not_yet_signed","detail":"no checkpoint yet","errors":[],"correlationId":"c-9"}`)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		switch r.URL.Query().Get("format") {
		case "ndjson":
			w.Header().Set("Content-Type", "application/x-ndjson")
		case "csv":
			w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
		}
		_, _ = io.WriteString(w, text)
		if cut {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN", "s3cret")
	return queries
}

func TestExportWritesWhatVerifyAccepts(t *testing.T) {
	bundle := readEvidence(t, "events.json")
	keys, err := filepath.Abs(vectors + "keys.txt")
	require.NoError(t, err)
	queries := exportAPI(t, bundle, false)
	out, errs, status := call(t, "export", "--event-type", "A", "--event-type", "B", "--aggregate-id", "o/1", "--to", "2026-01-01T00:00:00Z")
	require.Equal(t, statusDone, status, errs)
	require.Equal(t, bundle, out, "standard output has it byte by byte")
	require.Equal(t, url.Values{
		"format": {"bundle"}, "order": {"asc"}, "eventType": {"A", "B"}, "aggregateId": {"o/1"}, "to": {"2026-01-01T00:00:00.000000Z"},
	}, (*queries)[0])

	t.Chdir(t.TempDir())
	out, errs, status = call(t, "export", "--out", "-")
	require.Equal(t, statusDone, status, errs)
	require.Equal(t, bundle, out)
	requireFiles(t, ".")

	dir := t.TempDir()
	for _, name := range []string{"plain.json", "small.json.gz"} {
		file := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(file, []byte("an older one"), 0o600))
		out, errs, status = call(t, "export", "--format", "bundle", "--out", file)
		require.Equal(t, statusDone, status, errs)
		require.Empty(t, out)
		require.Regexp(t, `^[1-9]\d* events with their evidence are in `, errs)
		require.Contains(t, errs, "verified yet: audittrail verify "+file+" --key K\n")
		_, errs, status = call(t, "verify", file, "--key", keys)
		require.Equal(t, statusDone, status, errs)
	}
	f, err := os.Open(filepath.Join(dir, "small.json.gz"))
	require.NoError(t, err)
	defer f.Close()
	unzipped, err := gzip.NewReader(f)
	require.NoError(t, err)
	text, err := io.ReadAll(unzipped)
	require.NoError(t, err)
	require.Equal(t, bundle, string(text))
	requireFiles(t, dir, "plain.json", "small.json.gz")
}

func TestExportNDJSON(t *testing.T) {
	export := readEvidence(t, "export.ndjson")
	queries := exportAPI(t, export, false)
	out, errs, status := call(t, "export", "--format", "ndjson", "--event-type", "A")
	require.Equal(t, statusDone, status, errs)
	require.Equal(t, export, out, "standard output has it byte by byte")
	require.Equal(t, url.Values{"format": {"ndjson"}, "order": {"asc"}, "eventType": {"A"}}, (*queries)[0])
	dir := t.TempDir()
	for _, name := range []string{"plain.ndjson", "small.ndjson.gz"} {
		file := filepath.Join(dir, name)
		out, errs, status = call(t, "export", "--format", "ndjson", "--out", file)
		require.Equal(t, statusDone, status, errs)
		require.Empty(t, out)
		require.Contains(t, errs, "3 events are in ")
		require.NotContains(t, errs, "verify", "it proves nothing")
	}
	plain, err := os.ReadFile(filepath.Join(dir, "plain.ndjson"))
	require.NoError(t, err)
	require.Equal(t, export, string(plain))
	requireFiles(t, dir, "plain.ndjson", "small.ndjson.gz")
}

func TestExportCSV(t *testing.T) {
	const rows = "eventId,payload.total\r\n0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01,99.9\r\n"
	trailer := fmt.Sprintf(`"# {""complete"":true,""count"":1,""sha256"":""%x"",""checkpoint"":""""}"`+"\r\n", sha256.Sum256([]byte(rows)))
	queries := exportAPI(t, rows+trailer, false)
	out, errs, status := call(t, "export", "--format", "csv", "--columns", "eventId,payload.total")
	require.Equal(t, statusDone, status, errs)
	require.Equal(t, rows+trailer, out, "standard output has it byte by byte")
	require.Equal(t, url.Values{"format": {"csv"}, "order": {"asc"}, "columns": {"eventId,payload.total"}}, (*queries)[0])

	file := filepath.Join(t.TempDir(), "orders.csv")
	_, errs, status = call(t, "export", "--format", "csv", "--out", file)
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, errs, "1 events are in ")
	out, errs, status = call(t, "verify", file, "--key", vectors+"keys.txt")
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, out, "orders.csv: complete\n  1 event is in it")
	require.NotContains(t, out, "twice", "it is not looked at")
	require.NoError(t, os.WriteFile(file, []byte(rows), 0o600))
	out, _, status = call(t, "verify", file, "--key", vectors+"keys.txt")
	require.Equal(t, statusTampering, status)
	require.Contains(t, out, "NOT COMPLETE, OR CHANGED")
	require.Contains(t, out, "cut behind row 1")
}

// An export that is cut goes on, and it is said.
func TestExportGoesOn(t *testing.T) {
	export := readEvidence(t, "export.ndjson")
	lines := strings.SplitAfter(export, "\n")
	asked := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-ndjson")
		w.Header().Set("Audittrail-Size", "9")
		if asked++; asked == 1 {
			_, _ = io.WriteString(w, lines[0]+lines[1]+lines[2][:10])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		assert.Equal(t, "9", r.URL.Query().Get("size"))
		assert.Contains(t, lines[1], r.URL.Query().Get("after"))
		trailer, err := evidence.ParseTrailer([]byte(lines[3]))
		assert.NoError(t, err)
		part, err := evidence.Trailer{Count: 1, Sum: sha256.Sum256([]byte(lines[2])), Checkpoint: trailer.Checkpoint}.Append(nil)
		assert.NoError(t, err)
		_, _ = io.WriteString(w, lines[2]+string(part))
	}))
	t.Cleanup(s.Close)
	t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
	file := filepath.Join(t.TempDir(), "x.ndjson")
	_, errs, status := call(t, "export", "--format", "ndjson", "--out", file)
	require.Equal(t, statusDone, status, errs)
	require.Contains(t, errs, "; cut off and continued 1 time\n")
	got, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, export, string(got))
}

// requireFiles checks that a folder holds these files and nothing else.
func requireFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	require.ElementsMatch(t, want, names)
}

// An export that is not whole leaves nothing behind, whatever cut it and however the cut looks.
func TestExportThatIsCutLeavesNothing(t *testing.T) {
	bundle, ndjson := readEvidence(t, "events.json"), readEvidence(t, "export.ndjson")
	for name, c := range map[string]struct {
		text string
		cut  bool
		says string
	}{
		"NDJSON by the server":     {ndjson[:1000], true, "cut off"},
		"NDJSON between its lines": {ndjson[:strings.LastIndex(ndjson, "\n{")+1], false, "cut off"},
		"NDJSON of other lines":    {strings.Replace(ndjson, "order", "0rder", 1), false, "damaged on its way"},
		"NDJSON of fewer lines":    {ndjson[strings.Index(ndjson, "\n")+1:], false, "damaged on its way"},
		"by the server":            {bundle[:1000], true, "cut off"},
		"at its very end":          {bundle[:len(bundle)-4], true, "cut off"},
		"by a proxy, tidily":       {bundle[:len(bundle)-4], false, "cut off"},
		"before it began":          {"", false, "cut off"},
		"another document":         {`{"items":[]}`, false, "no evidence bundle"},
		"a list":                   {`[]`, false, "no evidence bundle"},
		"with something behind":    {bundle + "{}", false, "no evidence bundle"},
		"entries that are no list": {`{"entries":{}}`, false, "no evidence bundle"},
		"entries alone":            {`{"entries":[]}`, false, "no evidence bundle"},
		"entries alone, twice":     {`{"entries":[],"entries":[]}`, false, "no evidence bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			exportAPI(t, c.text, c.cut)
			dir := t.TempDir()
			file := filepath.Join(dir, "kept.json")
			require.NoError(t, os.WriteFile(file, []byte("an older one"), 0o600))
			format := "bundle"
			if strings.HasPrefix(name, "NDJSON") {
				format = "ndjson"
			}
			_, errs, status := call(t, "export", "--out", file, "--format", format)
			require.Equal(t, statusFailed, status)
			require.Contains(t, errs, c.says)
			requireFiles(t, dir, "kept.json")
			kept, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, "an older one", string(kept))
			_, _, status = call(t, "export", "--format", format)
			require.Equal(t, statusFailed, status, "standard output: the status says it")
		})
	}
}

func TestExportTellsWhatTheAPIRefuses(t *testing.T) {
	exportAPI(t, "", false)
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN", "other")
	dir := t.TempDir()
	_, errs, status := call(t, "export", "--out", filepath.Join(dir, "x.json"))
	require.Equal(t, statusFailed, status)
	require.Contains(t, errs, "503 not_yet_signed")
	require.Contains(t, errs, "c-9")
	requireFiles(t, dir)
}

// A link stays, and what it leads to gets the export, there or not.
func TestExportFollowsLinks(t *testing.T) {
	bundle := readEvidence(t, "events.json")
	exportAPI(t, bundle, false)
	dir := t.TempDir()
	for _, name := range []string{"a/b", "c"} {
		require.NoError(t, os.MkdirAll(filepath.Join(dir, name), 0o700))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "c", "old.json"), []byte("an older one"), 0o600))
	for link, to := range map[string]string{
		"latest.json": "c/old.json", "twice.json": "latest.json", "new.json": "c/new.json", "absolute.json": filepath.Join(dir, "c", "absolute.json"),
		"c/b": "../a/b", "up.json": "c/b/../up.json", // that is a/up.json
	} {
		require.NoError(t, os.Symlink(to, filepath.Join(dir, link)))
	}
	for link, file := range map[string]string{
		"latest.json": "c/old.json", "twice.json": "c/old.json", "new.json": "c/new.json", "absolute.json": "c/absolute.json",
		"up.json": "a/up.json", "c/b/plain.json": "a/b/plain.json",
	} {
		t.Run(link, func(t *testing.T) {
			before, err := os.Readlink(filepath.Join(dir, link))
			_, errs, status := call(t, "export", "--out", filepath.Join(dir, link))
			require.Equal(t, statusDone, status, errs)
			after, _ := os.Readlink(filepath.Join(dir, link))
			require.Equal(t, before, after, "the link is what it was (%v)", err)
			info, err := os.Lstat(filepath.Join(dir, file))
			require.NoError(t, err)
			require.True(t, info.Mode().IsRegular())
			got, err := os.ReadFile(filepath.Join(dir, file))
			require.NoError(t, err)
			require.Equal(t, bundle, string(got))
		})
	}
	requireFiles(t, filepath.Join(dir, "c"), "old.json", "new.json", "absolute.json", "b")

	t.Chdir(dir)
	_, errs, status := call(t, "export", "--out", "latest.json")
	require.Equal(t, statusDone, status, errs)
	require.NoError(t, os.Symlink("round.json", filepath.Join(dir, "round.json")))
	_, errs, status = call(t, "export", "--out", "round.json")
	require.Equal(t, statusFailed, status)
	require.Contains(t, errs, "--out: ")
	require.NoError(t, os.Symlink("no/such/folder.json", filepath.Join(dir, "nowhere.json")))
	_, errs, status = call(t, "export", "--out", "nowhere.json")
	require.Equal(t, statusFailed, status)
	require.Contains(t, errs, "--out: ")
}

// Who made a file read-only wants to keep it.
func TestExportLeavesAReadOnlyFileAlone(t *testing.T) {
	queries := exportAPI(t, readEvidence(t, "events.json"), false)
	dir := t.TempDir()
	file := filepath.Join(dir, "kept.json")
	require.NoError(t, os.WriteFile(file, []byte("an older one"), 0o400))
	require.NoError(t, os.Symlink(file, filepath.Join(dir, "link.json")))
	for _, name := range []string{"kept.json", "link.json"} {
		_, errs, status := call(t, "export", "--out", filepath.Join(dir, name))
		require.Equal(t, statusUsage, status)
		require.Contains(t, errs, "is read-only")
	}
	kept, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, "an older one", string(kept))
	require.Empty(t, *queries)
	requireFiles(t, dir, "kept.json", "link.json")
}

// A server's refusal may hold anything; what reaches the terminal obeys nobody.
func TestRefusalsAreSafeOnATerminal(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		text, err := json.Marshal("\x1b[31mred\x1b]0;title\a\u009b2J\u202egnp.exe\r\nnext\x7f\u200b\x00")
		assert.NoError(t, err)
		fmt.Fprintf(w, `{"code":%s,"detail":%[1]s,"errors":[{"field":%[1]s,"detail":%[1]s}],"correlationId":%[1]s}`, text)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
	for _, args := range [][]string{{"export"}, {"events"}, {"events", "--id", "0199c82c-c000-7c4f-be77-7053b0b76e5b"}} {
		out, errs, status := call(t, args...)
		require.Equal(t, statusFailed, status)
		require.Empty(t, out)
		require.Contains(t, errs, `\x1b[31mred`)
		require.Equal(t, 3, strings.Count(errs, "\n"), "the text makes no lines of its own: %q", errs)
		requireHarmless(t, errs)
	}
}

// requireHarmless checks that nothing but line breaks in what was printed is obeyed by a terminal.
func requireHarmless(t *testing.T, printed string) {
	t.Helper()
	printed = strings.ReplaceAll(printed, "\n", "")
	require.Equal(t, console.Visible(printed), printed)
}

func TestWrongUseOfExport(t *testing.T) {
	queries := exportAPI(t, "", false)
	socket := filepath.Join(t.TempDir(), "socket")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	require.NoError(t, err)
	defer listener.Close()
	for says, args := range map[string][]string{
		"--event-type must not be empty":     {"--event-type", ""},
		"--out must not be empty":            {"--out", ""},
		"--from must be RFC 3339":            {"--from", "yesterday"},
		"--order must be asc or desc":        {"--order", "up"},
		"must be one of bundle, ndjson, csv": {"--format", "xml"},
		"--columns must not be empty":        {"--format", "csv", "--columns", ""},
		"--columns needs --format csv":       {"--columns", "eventId"},
		"is a folder":                        {"--out", t.TempDir()},
		"a device or a pipe":                 {"--out", socket},
		"client.url must be":                 {"--client.url", "localhost:8080"},
	} {
		t.Run(says, func(t *testing.T) {
			out, errs, status := call(t, append([]string{"export"}, args...)...)
			require.Equal(t, statusUsage, status, errs)
			require.Contains(t, errs, says)
			require.Empty(t, out)
		})
	}
	require.Empty(t, *queries, "nothing was asked")
	info, err := os.Lstat(socket)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeSocket, "it is what it was")
	_, errs, status := call(t, "export", "--out", filepath.Join(t.TempDir(), "no", "such", "folder.json"))
	require.Equal(t, statusFailed, status)
	require.Contains(t, errs, "create --out")
}
