package client

import (
	"compress/gzip"
	"io"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
)

// bundleHead is a bundle up to its first entry.
func bundleHead(t *testing.T) string {
	t.Helper()
	vector, err := os.ReadFile("../evidence/testdata/events.json")
	require.NoError(t, err)
	before, _, found := strings.Cut(string(vector), `"entries":[`)
	require.True(t, found)
	return before + `"entries":[`
}

// What is no bundle is none, however much of one it has: it must not take a good file's place.
func TestCopyBundleWantsABundle(t *testing.T) {
	vector, err := os.ReadFile("../evidence/testdata/events.json")
	require.NoError(t, err)
	whole := string(vector)
	begin := bundleHead(t)
	checkpoint := begin[strings.Index(begin, `"checkpoint"`) : len(begin)-len(`"entries":[`)]
	for name, c := range map[string]struct{ text, says string }{
		"whole":                      {whole, ""},
		"without entries":            {begin + "]}", ""},
		"other order":                {strings.Replace(whole, `"format":"audittrail-evidence/v1","log":"events",`, `"log":"events","format":"audittrail-evidence/v1",`, 1), ""},
		"entries alone":              {`{"entries":[]}`, "no format before"},
		"entries alone, twice":       {`{"entries":[],"entries":[]}`, "no format before"},
		"entries twice":              {begin + `],"entries":[]}`, "entries stands behind the entries, and should not"},
		"no format":                  {strings.Replace(whole, `"format":"audittrail-evidence/v1",`, "", 1), "no format before"},
		"no log":                     {strings.Replace(whole, `"log":"events",`, "", 1), "no log before"},
		"no checkpoint":              {strings.Replace(whole, checkpoint, "", 1), "no checkpoint before"},
		"checkpoint behind":          {strings.Replace(begin, checkpoint, "", 1) + "]," + strings.TrimSuffix(checkpoint, ",") + "}", "no checkpoint before"},
		"checkpoint twice":           {strings.Replace(whole, checkpoint, checkpoint+checkpoint, 1), "twice"},
		"checkpoint that is a text":  {strings.Replace(begin, checkpoint, `"checkpoint":"x",`, 1) + "]}", "the checkpoint is cut or changed"},
		"checkpoint that is no text": {strings.Replace(begin, checkpoint, `"checkpoint":{},`, 1) + "]}", "checkpoint is not a text"},
		"another member":             {strings.Replace(whole, "{", `{"x":"",`, 1), "none of this format"},
		"another format":             {strings.Replace(whole, "evidence/v1", "evidence/v2", 1), "format"},
		"another log":                {strings.Replace(whole, `"log":"events"`, `"log":"access"`, 1), "not of the log of events"},
		"no list":                    {strings.TrimSuffix(begin, "[") + "{}}", "not a list"},
		"entries that are none":      {begin + "1,2]}", "entry 1 is not an object"},
		"something follows":          {whole + "{}", "something follows the bundle"},
		"no JSON":                    {begin + "{},]}", "not JSON, from byte"},
		"no JSON behind":             {whole + "x", "something follows the bundle"},
		"a list":                     {"[]", "this is JSON, but no evidence bundle"},
		"a page":                     {"<html>", "not JSON, from byte 0"},
		"cut":                        {whole[:len(whole)-3], "cut off behind event 4"},
		"cut in an entry":            {whole[:len(begin)+50], "cut off behind event 0"},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			err := CopyBundle(&got, strings.NewReader(c.text), func() {})
			require.True(t, strings.HasPrefix(c.text, got.String()), "as it came")
			if c.says == "" {
				require.NoError(t, err)
				require.Equal(t, c.text, got.String())
				return
			}
			require.ErrorContains(t, err, c.says)
			require.NotContains(t, err.Error(), "jsontext", "a library's words")
		})
	}
}

// endless repeats a text for ever.
type endless struct {
	text string
	at   int
}

func (e *endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = e.text[e.at]
		e.at = (e.at + 1) % len(e.text)
	}
	return len(p), nil
}

// peak is the most memory that was held while work ran, above what was held before it.
func peak(work func(look func())) int64 {
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that the heap is what is held, not what is left over
	runtime.GC()
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	most := int64(0)
	work(func() {
		runtime.ReadMemStats(&now)
		most = max(most, int64(now.HeapAlloc)-int64(before.HeapAlloc))
	})
	return most
}

// Whatever a server sends, without end: the client takes what one entry may take, and gives up.
func TestCopiesOfAnythingTakeBoundedMemory(t *testing.T) {
	begin := bundleHead(t)
	for name, c := range map[string]struct {
		copy        func(io.Writer, io.Reader, func()) error
		begin, rest string
	}{
		"a text":            {CopyBundle, `{"checkpoint":"`, "a"},
		"spaces":            {CopyBundle, "", " "},
		"spaces within":     {CopyBundle, begin, " \n"},
		"an entry":          {CopyBundle, begin + `{"event":"`, "a"},
		"lists in an entry": {CopyBundle, begin + `{"event":[[]`, ",[]"},
		"spaces behind":     {CopyBundle, begin + "]}", " "},
		"a line":            {copyNDJSON, "", "a"},
		"a row":             {copyCSV, "eventId\r\n", `"a""`},
		"a header":          {copyCSV, "", `"a""`},
	} {
		t.Run(name, func(t *testing.T) {
			read := int64(0)
			held := peak(func(look func()) {
				next := int64(0)
				count := writer(func(p []byte) {
					if read += int64(len(p)); read > next {
						look()
						next += 8 << 20
					}
				})
				err := c.copy(count, io.MultiReader(strings.NewReader(c.begin), &endless{text: c.rest}), func() {})
				require.Error(t, err)
				require.NotContains(t, err.Error(), "jsontext")
				look()
			})
			t.Logf("read %d MiB, held %d MiB", read>>20, held>>20)
			require.LessOrEqual(t, read, int64(evidence.MaxEntry+1<<20))
			require.Less(t, held, int64(4*evidence.MaxEntry), "a buffer that doubles, and the one before it")
		})
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

// A small answer that is large when it is unpacked is bounded as any other.
func TestACompressedAnswerIsBoundedUnpacked(t *testing.T) {
	var sent atomic.Int64
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Content-Encoding", "gzip")
		zip := gzip.NewWriter(io.MultiWriter(w, writer(func(p []byte) { sent.Add(int64(len(p))) })))
		_, _ = io.WriteString(zip, `{"checkpoint":"`)
		_, _ = io.Copy(zip, &endless{text: "a"}) // until the client has gone
	})
	body, err := c.Open(t.Context(), "/v1/events/export", nil)
	require.NoError(t, err)
	read := int64(0)
	err = CopyBundle(writer(func(p []byte) { read += int64(len(p)) }), body, func() {})
	require.ErrorContains(t, err, "larger than any entry can be")
	require.NoError(t, body.Close())
	require.LessOrEqual(t, read, int64(evidence.MaxEntry+1<<20))
	require.Less(t, sent.Load(), int64(2<<20), "or it would show nothing")
}

// A list's answer of millions of tiny items does not grow to their many values.
func TestAListOfMoreThanWasAskedFor(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 200, "application/json", `{"items":[`+strings.Repeat("0,", 20<<20)+`0],"nextCursor":null}`)
	})
	held := peak(func(look func()) {
		for _, err := range c.List("/v1/events", nil, 10, "").All(t.Context()) {
			look()
			require.ErrorContains(t, err, "more items than were asked for")
		}
	})
	require.Less(t, held, int64(300<<20))
	c = serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 500, "application/problem+json", `{"code":"x","errors":[`+strings.Repeat("{},", 1<<20)+`{}]}`)
	})
	_, err := c.Get(t.Context(), "/v1/events", nil)
	require.ErrorContains(t, err, "is client.url right?", "no refusal is that long")
}

// A connection that is reset is an answer that was cut; a disk that is full is not the server's fault.
func TestCopiesTellWhichSideFailed(t *testing.T) {
	vector, err := os.ReadFile("../evidence/testdata/export.ndjson")
	require.NoError(t, err)
	for name, c := range map[string]struct {
		copy func(io.Writer, io.Reader, func()) error
		text string
	}{"bundle": {CopyBundle, bundleHead(t)}, "NDJSON": {copyNDJSON, string(vector[:1000])}} {
		t.Run(name, func(t *testing.T) {
			reset := io.MultiReader(strings.NewReader(c.text), failing{syscall.ECONNRESET})
			err := c.copy(io.Discard, reset, func() {})
			require.ErrorIs(t, err, syscall.ECONNRESET)
			require.ErrorContains(t, err, "the API's answer was cut off")
			require.NotContains(t, err.Error(), "jsontext")

			err = c.copy(failing{syscall.ENOSPC}, strings.NewReader(c.text), func() {})
			require.ErrorIs(t, err, syscall.ENOSPC)
			require.ErrorContains(t, err, "the export can't be written: no space left on device")
			require.NotContains(t, err.Error(), "cut off")
		})
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error)  { return 0, f.err }
func (f failing) Write([]byte) (int, error) { return 0, f.err }

// What a server says stays on its line.
func TestAProblemsTextsMakeNoLinesOfTheirOwn(t *testing.T) {
	const text = "x\r\n  correlation id forged"
	p := &Problem{Status: 400, Code: text, Detail: text, CorrelationID: text}
	p.Errors = append(p.Errors, struct {
		Field  string `json:"field"`
		Detail string `json:"detail"`
	}{text, text})
	require.Equal(t, 2, strings.Count(p.Error(), "\n"), p.Error())
	require.NotContains(t, p.Error(), "\r")
}
