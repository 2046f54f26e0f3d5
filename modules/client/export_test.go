package client

import (
	"compress/gzip"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
)

func copyNDJSON(dst io.Writer, src io.Reader, each func()) error {
	return newExportCopy(dst, false, each).part(src)
}

func copyCSV(dst io.Writer, src io.Reader, each func()) error {
	return newExportCopy(dst, true, each).part(src)
}

// fakeExport is an API that has one export, of lines that begin with ids.
type fakeExport struct {
	header string
	lines  []string
	isCSV  bool
}

const exportSize = "7"

func testExport(format string) fakeExport {
	f := fakeExport{isCSV: format == "csv"}
	for i := range 4 {
		id := fmt.Sprintf("0190d3f1-7c3a-7b1e-9c55-%012x", i)
		if f.isCSV {
			f.header = "eventType,eventId,payload.text\r\n"
			f.lines = append(f.lines, fmt.Sprintf("T,%s,\"a\r\n\"\"b\nc%d\"\r\n", id, i))
			continue
		}
		f.lines = append(f.lines, fmt.Sprintf(`{"eventId":%q,"n":%d}`+"\n", id, i))
	}
	return f
}

// part is what the API answers to a query.
func (f fakeExport) part(query url.Values) string {
	body, lines := f.header, f.lines
	if after := query.Get("after"); after != "" {
		for i, line := range f.lines {
			if strings.Contains(line, after) {
				body, lines = "", f.lines[i+1:]
			}
		}
	}
	body += strings.Join(lines, "")
	t := evidence.Trailer{Count: int64(len(lines)), Sum: sha256.Sum256([]byte(body)), Checkpoint: "signed"}
	appendTo := t.Append
	if f.isCSV {
		appendTo = t.AppendCSV
	}
	out, err := appendTo([]byte(body))
	if err != nil {
		panic(err)
	}
	return string(out)
}

func (f fakeExport) head(w http.ResponseWriter) {
	w.Header().Set("Content-Type", map[bool]string{true: "text/csv; charset=utf-8; header=present", false: kindNDJSON}[f.isCSV])
	w.Header().Set("Audittrail-Size", exportSize)
}

// Wherever an export is cut, and however often, what is written is what one that was never cut has.
func TestAnExportThatIsCutGoesOn(t *testing.T) {
	for _, format := range []string{"ndjson", "csv"} {
		f := testExport(format)
		whole := f.part(nil)
		for at := range len(whole) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				c := servePipes(t, func(w http.ResponseWriter, r *http.Request) {
					query := r.URL.Query()
					assert.Equal(t, format, query.Get("format"))
					assert.Equal(t, "A", query.Get("eventType"))
					if query.Has("after") {
						assert.Equal(t, exportSize, query.Get("size"))
					}
					f.head(w)
					asked++
					body := f.part(query)
					if asked <= 2 { // the second answer is cut at the same place, or comes to its end
						body = body[:min(at, len(body))]
					}
					_, _ = io.WriteString(w, body)
					if asked == 1 {
						_ = http.NewResponseController(w).Flush()
						panic(http.ErrAbortHandler)
					}
				})
				var got strings.Builder
				events, again := 0, 0
				err := c.Export(t.Context(), url.Values{"format": {format}, "eventType": {"A"}}, &got, Watch{
					Each: func() { events++ }, Again: func(cause error, pause time.Duration) { again++ },
				})
				require.NoError(t, err, "cut at %d", at)
				require.Equal(t, whole, got.String(), "cut at %d", at)
				require.Equal(t, 4, events)
				require.Equal(t, asked-1, again)
				require.Positive(t, again)
			})
		}
	}
}

// An API that stays away is asked again and again, less and less often, and given up in the end.
func TestAnExportIsGivenUpInTheEnd(t *testing.T) {
	f := testExport("ndjson")
	for name, c := range map[string]struct {
		then  func(w http.ResponseWriter)
		tries int
		says  string
	}{
		"it is unavailable":   {func(w http.ResponseWriter) { answer(w, 503, kindProblem, `{"code":"unavailable"}`) }, mostTries, "503 unavailable"},
		"a proxy answers":     {func(w http.ResponseWriter) { answer(w, 502, "text/html", "bad gateway") }, mostTries, "answered 502"},
		"it is cut at once":   {func(w http.ResponseWriter) { f.head(w); panic(http.ErrAbortHandler) }, mostTries, "no answer"},
		"it cuts each":        {func(w http.ResponseWriter) { f.head(w); sent(w, 200, kindNDJSON, "{"); panic(http.ErrAbortHandler) }, mostTries, "cut off behind event 2"},
		"the token is over":   {func(w http.ResponseWriter) { answer(w, 401, kindProblem, `{"code":"token_expired"}`) }, 1, "401 token_expired"},
		"the log is set back": {func(w http.ResponseWriter) { answer(w, 409, kindProblem, `{"code":"position_beyond_end"}`) }, 1, "409 position_beyond_end"},
		"it is damaged": {func(w http.ResponseWriter) {
			f.head(w)
			answer(w, 200, kindNDJSON, strings.Replace(f.part(nil), `"n":0`, `"n":1`, 1))
		}, 1, "damaged on its way"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				api := servePipes(t, func(w http.ResponseWriter, _ *http.Request) {
					if asked++; asked == 1 {
						f.head(w)
						sent(w, 200, kindNDJSON, strings.Join(f.lines[:2], "")+f.lines[2][:9])
						panic(http.ErrAbortHandler)
					}
					c.then(w)
				})
				var got strings.Builder
				var pauses []time.Duration
				start := time.Now()
				err := api.Export(t.Context(), url.Values{"format": {"ndjson"}}, &got, Watch{
					Each: func() {}, Again: func(_ error, pause time.Duration) { pauses = append(pauses, pause) },
				})
				require.ErrorContains(t, err, c.says)
				require.Len(t, pauses, c.tries)
				require.True(t, strings.HasPrefix(got.String(), strings.Join(f.lines[:2], "")))
				require.NotContains(t, got.String(), "complete", "there is no trailer")
				seconds := []int{1, 2, 4, 8, 16, 30, 30, 30}
				sum := time.Duration(0)
				for i, pause := range pauses {
					require.Equal(t, seconds[i], int(pause/time.Second))
					sum += pause
				}
				require.Equal(t, sum, time.Since(start))
			})
		})
	}
}

// An export that can't go on fails as soon as it is cut.
func TestWhatCannotGoOn(t *testing.T) {
	f := testExport("ndjson")
	whole := f.part(nil)
	for name, c := range map[string]struct{ format, size, text string }{
		"a bundle":                {"bundle", exportSize, bundleHead(t)},
		"an API without sizes":    {"ndjson", "", whole[:len(whole)-9]},
		"lines without ids":       {"ndjson", exportSize, `{"version":1}` + "\n"},
		"rows without ids":        {"csv", exportSize, "version\r\n1\r\n"},
		"what was never an API's": {"ndjson", "", "<html>\n"},
	} {
		t.Run(name, func(t *testing.T) {
			api := serve(t, func(w http.ResponseWriter, _ *http.Request) {
				if c.size != "" {
					w.Header().Set("Audittrail-Size", c.size)
				}
				answer(w, 200, map[string]string{"bundle": kindJSON, "ndjson": kindNDJSON, "csv": kindCSV}[c.format], c.text)
			})
			err := api.Export(t.Context(), url.Values{"format": {c.format}}, io.Discard, Watch{
				Each: func() {}, Again: func(error, time.Duration) { t.Error("it was asked again") },
			})
			require.ErrorContains(t, err, "cut off")
		})
	}
}

func TestCopiesWantAWholeExport(t *testing.T) {
	vector, err := os.ReadFile("../evidence/testdata/export.ndjson")
	require.NoError(t, err)
	whole := string(vector)
	last := strings.LastIndex(whole, "\n{") + 1
	for name, c := range map[string]struct{ text, says string }{
		"whole":            {whole, ""},
		"without trailer":  {whole[:last], "cut off behind event 3"},
		"cut in a line":    {whole[:100], "cut off behind event 0"},
		"cut in its end":   {whole[:len(whole)-1], "cut off behind event 3"},
		"nothing":          {"", "cut off behind event 0"},
		"a line less":      {whole[strings.Index(whole, "\n")+1:], "damaged on its way"},
		"a byte other":     {strings.Replace(whole, "order", "0rder", 1), "damaged on its way"},
		"something behind": {whole + "{}\n", "is no export: something follows"},
		"another trailer":  {whole[:last] + `{"complete":true}` + "\n", "is no export: line 4 begins as the trailer"},
		"a proxy's page":   {"<html>\n</html>\n", "cut off"},
	} {
		t.Run(name, func(t *testing.T) {
			api := serve(t, func(w http.ResponseWriter, r *http.Request) {
				assert.Contains(t, r.Header.Get("Accept"), "application/x-ndjson")
				answer(w, 200, "application/x-ndjson", c.text)
			})
			var got strings.Builder
			events := 0
			err := api.Export(t.Context(), url.Values{"format": {"ndjson"}}, &got, Watch{Each: func() { events++ }})
			if c.says == "" {
				require.NoError(t, err)
				require.Equal(t, 3, events)
				require.Equal(t, c.text, got.String())
				return
			}
			require.ErrorContains(t, err, c.says)
			require.True(t, strings.HasPrefix(c.text, got.String()), "whole lines")
			require.NotContains(t, got.String(), `{"complete"`)
		})
	}
}

// A compressed answer that is cut goes on as any other.
func TestACompressedExportGoesOn(t *testing.T) {
	f, asked := testExport("csv"), 0
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		f.head(w)
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(w)
		body := f.part(r.URL.Query())
		if asked++; asked == 1 {
			body = body[:len(f.header)+len(f.lines[0])+3]
		}
		_, _ = io.WriteString(zip, body)
		_ = zip.Flush()
		if asked == 1 {
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		_ = zip.Close()
	})
	var got strings.Builder
	require.NoError(t, c.Export(t.Context(), url.Values{"format": {"csv"}}, &got, Watch{Each: func() {}, Again: func(cause error, _ time.Duration) {
		var cut *cutError
		assert.ErrorAs(t, cause, &cut)
	}}))
	require.Equal(t, f.part(nil), got.String())
	require.Equal(t, 2, asked)
}
