package query_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
	"audittrail/modules/migrate/migratetest"
)

// bulk stores events first … first+n-1, whose payloads hold a text of so many bytes. Times repeat and go
// back and forth, so that the order of positions is not that of an export.
func bulk(t testing.TB, a *api, first, n, size int) {
	t.Helper()
	text := strings.Repeat("x", size)
	for from := first; from < first+n; from += 10_000 {
		values := []string{}
		for i := from; i < min(from+10_000, first+n); i++ {
			at := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(i*7919%5000) * time.Minute)
			values = append(values, fmt.Sprintf(`{"eventId":%q,"eventType":"T%d","aggregateId":"a-%d","aggregateType":"Order","timestamp":%q,"version":1,"payload":%q,"metadata":{}}`,
				id(i), i%3, i%100, at.Format(time.RFC3339), text))
		}
		require.Equal(t, len(values), a.append(t, values...).Stored)
	}
}

// export begins an export; its body is the caller's to read and close.
func (a *api) export(ctx context.Context, t testing.TB, filters string) *http.Response {
	t.Helper()
	return a.exportAs(ctx, t, "bundle", filters)
}

func (a *api) exportAs(ctx context.Context, t testing.TB, format, filters string) *http.Response {
	t.Helper()
	r := a.request(t, "/v1/events/export?format="+format+filters).WithContext(ctx)
	response, err := a.client.Do(r)
	require.NoError(t, err)
	return response
}

// verified reads an export to its end and answers what was proven, in order.
func (a *api) verified(t testing.TB, body io.ReadCloser) (evidence.Report, []int64) {
	t.Helper()
	defer func() { require.NoError(t, body.Close()) }()
	var indexes []int64
	report, err := evidence.Verify(body, a.keys(t), func(e evidence.Entry) { indexes = append(indexes, e.Index) })
	require.NoError(t, err)
	require.Len(t, indexes, int(report.Proven))
	return report, indexes
}

func TestExportAsABundle(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.get(t, "/v1/events/export?format=bundle").refused(t, http.StatusServiceUnavailable, "not_yet_signed", "")
	a.append(t, order(1, "Order", "o-1"), order(3, "Order", "o-2"), order(2, "Order", "o-1"))
	a.sign(t)
	a.append(t, order(4, "Order", "o-1"))

	for filters, want := range map[string][]int64{
		"": {0, 2, 1}, "&order=desc": {1, 2, 0}, "&order=asc&aggregateId=o-1": {0, 2}, "&aggregateId=o-1&from=2026-03-01T09:32:00Z": {2},
		"&eventType=None": nil, "&eventType=None&eventType=OrderCreated&to=2026-03-01T09:32:00Z": {0},
	} {
		got := a.get(t, "/v1/events/export?format=bundle"+filters) // held against the specification
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		require.Equal(t, `attachment; filename="events.evidence.json"`, got.header.Get("Content-Disposition"))
		require.Equal(t, "private, no-store", got.header.Get("Cache-Control"))
		report, indexes := a.verified(t, io.NopCloser(bytes.NewReader(got.body)))
		require.Equal(t, want, indexes, filters)
		require.EqualValues(t, 3, report.Checkpoint.Size)
		require.True(t, report.Distinct)
	}
	for query, field := range map[string]string{
		"": "format", "?format=": "format", "?format=xml": "format", "?format=NDJSON": "format", "?format=bundle&format=bundle": "format",
		"?format=bundle&limit=5": "limit", "?format=bundle&cursor=x": "cursor", "?format=bundle&order=up": "order", "?format=bundle&aggregateId=": "aggregateId",
		"?format=bundle&from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z": "to",
	} {
		p := a.get(t, "/v1/events/export"+query).refused(t, http.StatusBadRequest, "invalid_parameter", field)
		if strings.Contains(query, "xml") {
			require.Contains(t, p.Detail, "must be one of: bundle, ndjson, csv", "it says what there is")
		}
	}
}

func TestExportAsNDJSON(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	export := func(filters string) answer {
		got := a.get(t, "/v1/events/export?format=ndjson"+filters) // held against the specification
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		return got
	}
	require.Equal(t, `{"complete":true,"count":0,"sha256":"`+sumOf("")+`","checkpoint":""}`+"\n", string(export("").body))
	a.append(t, order(1, "Order", "o-1"), order(3, "Order", "o-2"), order(2, "Order", "o-1"))
	unsigned := export("")
	require.Equal(t, 4, bytes.Count(unsigned.body, []byte{'\n'}), "all that was stored, where nothing was signed")

	signed := a.sign(t)
	a.append(t, order(4, "Order", "o-1"))
	for filters, want := range map[string][]int{
		"": {1, 2, 3}, "&order=desc": {3, 2, 1}, "&order=asc&aggregateId=o-1": {1, 2}, "&aggregateId=o-1&from=2026-03-01T09:32:00Z": {2}, "&eventType=None": nil,
	} {
		got := export(filters)
		require.Equal(t, "application/x-ndjson", got.header.Get("Content-Type"))
		require.Equal(t, `attachment; filename="events.ndjson"`, got.header.Get("Content-Disposition"))
		require.Equal(t, "private, no-store", got.header.Get("Cache-Control"))
		var events string
		for _, n := range want {
			events += string(a.get(t, "/v1/events/"+id(n)).body) + "\n"
		}
		lines, last, found := strings.Cut(string(got.body), `{"complete":`)
		require.True(t, found)
		require.Equal(t, events, lines, "the lines are what the API shows of each event")
		var trailer struct {
			Complete           bool
			Count              int
			SHA256, Checkpoint string
		}
		require.NoError(t, json.Unmarshal([]byte(`{"complete":`+last), &trailer))
		require.True(t, trailer.Complete)
		require.Equal(t, len(want), trailer.Count)
		require.Equal(t, sumOf(events), trailer.SHA256)
		require.Equal(t, signed.Note, trailer.Checkpoint)
	}
	r := a.request(t, "/v1/events/export?format=ndjson")
	r.Method = http.MethodHead
	require.Equal(t, http.StatusOK, a.send(t, r).status)
	a.get(t, "/v1/events/export?format=ndjson&limit=5").refused(t, http.StatusBadRequest, "invalid_parameter", "limit")
}

func TestExportAsCSV(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "o-1"), order(3, "Order", "=o-2"), order(2, "Order", "o-1"))
	signed := a.sign(t)
	export := func(filters, rows string, count int) {
		t.Helper()
		got := a.get(t, "/v1/events/export?format=csv"+filters) // held against the specification
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		require.Equal(t, "text/csv; charset=utf-8; header=present", got.header.Get("Content-Type"))
		require.Equal(t, `attachment; filename="events.csv"`, got.header.Get("Content-Disposition"))
		var trailer bytes.Buffer
		require.NoError(t, json.NewEncoder(&trailer).Encode(signed.Note))
		text := fmt.Sprintf(`{"complete":true,"count":%d,"sha256":"%s","checkpoint":%s}`, count, sumOf(rows), strings.TrimSpace(trailer.String()))
		require.Equal(t, rows+`"# `+strings.ReplaceAll(text, `"`, `""`)+"\"\r\n", string(got.body))
	}
	export("&columns=eventId,payload.n,metadata.userId,aggregateId", "eventId,payload.n,metadata.userId,aggregateId\r\n"+
		id(1)+",1,,o-1\r\n"+id(2)+",2,,o-1\r\n"+id(3)+",3,,'=o-2\r\n", 3)
	export("&columns=payload&order=desc&aggregateId=o-1", "payload\r\n\"{\"\"n\"\":2}\"\r\n\"{\"\"n\"\":1}\"\r\n", 2)
	require.True(t, strings.HasPrefix(string(a.get(t, "/v1/events/export?format=csv").body),
		"eventId,eventType,aggregateId,aggregateType,timestamp,version,payload,metadata,position,recordedAt,kafka\r\n"+id(1)+",OrderCreated,o-1,"))
	require.Equal(t, http.StatusOK, a.get(t, "/v1/events/export?format=csv&columns="+strings.Repeat("eventId,", 49)+"eventId").status)
	for query, field := range map[string]string{
		"format=csv&fields=eventId": "fields", "format=ndjson&columns=eventId": "columns", "format=bundle&columns=eventId": "columns",
		"format=csv&columns=": "columns", "format=csv&columns=none": "columns", "format=csv&columns=eventId,": "columns",
		"format=csv&columns=payload.": "columns", "format=csv&columns=payload..a": "columns",
		"format=csv&columns=" + strings.Repeat("eventId,", 50) + "eventId": "columns",
	} {
		a.get(t, "/v1/events/export?"+query).refused(t, http.StatusBadRequest, "invalid_parameter", field)
	}
}

// Wherever an export was cut, the part that goes on has the same lines as the export would have had, whatever was
// stored and signed meanwhile, and a trailer of its own.
func TestAnExportGoesOn(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	moment := regexp.MustCompile(`"timestamp":"[^"]*"`)
	for i := range 5 {
		together := moment.ReplaceAllString(order(100+i, "Order", "o-2"), `"timestamp":"2026-03-01T10:00:00Z"`)
		a.append(t, order(50-10*i, "Order", "o-1"), together)
	}
	a.append(t, order(5, "Order", "o-3"))
	unsigned := a.get(t, "/v1/events/export?format=ndjson")
	signed := a.sign(t)
	wholes := map[string]answer{}
	paths := []string{
		"format=ndjson", "format=ndjson&order=desc", "format=ndjson&aggregateId=o-2&fields=eventId,payload", "format=csv",
		"format=csv&columns=eventId,payload.n&order=desc",
	}
	for _, path := range paths {
		wholes[path] = a.get(t, "/v1/events/export?"+path)
		require.Equal(t, fmt.Sprint(signed.Size), wholes[path].header.Get("Audittrail-Size"))
	}
	a.append(t, order(6, "Order", "o-2"), order(200, "Order", "o-2"))
	a.sign(t)
	for _, path := range paths {
		end, kind := "\n", "application/x-ndjson"
		if strings.HasPrefix(path, "format=csv") {
			end, kind = "\r\n", "text/csv; charset=utf-8; header=absent"
		}
		lines := strings.SplitAfter(string(wholes[path].body), end)
		lines = lines[:len(lines)-2] // the trailer, and nothing behind it
		if end == "\r\n" {
			lines = lines[1:]
		}
		require.NotEmpty(t, lines)
		for i, line := range lines {
			last := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`).FindString(line)
			part := a.get(t, fmt.Sprintf("/v1/events/export?%s&after=%s&size=%d", path, last, signed.Size)) // held against the specification
			require.Equal(t, http.StatusOK, part.status, string(part.body))
			require.Equal(t, kind, part.header.Get("Content-Type"))
			require.Equal(t, fmt.Sprint(signed.Size), part.header.Get("Audittrail-Size"))
			rest, trailer := strings.Join(lines[i+1:], ""), string(part.body)
			require.True(t, strings.HasPrefix(trailer, rest), "%s behind %d: %s", path, i, part.body)
			trailer = strings.ReplaceAll(strings.TrimPrefix(trailer, rest), `""`, `"`)
			require.Contains(t, trailer, fmt.Sprintf(`{"complete":true,"count":%d,"sha256":"%s","checkpoint":"audit.test`, len(lines)-i-1, sumOf(rest)))
			require.Contains(t, trailer, fmt.Sprintf(`events\n%d\n`, signed.Size), "the checkpoint of then")
		}
	}

	require.Equal(t, fmt.Sprint(signed.Size), unsigned.header.Get("Audittrail-Size"), "all that was stored")
	export := "/v1/events/export?format=ndjson"
	got := a.get(t, export+"&after="+id(5)+"&size=3")
	require.Contains(t, string(got.body), `"checkpoint":""`, "none was signed of that size")
	for query, field := range map[string]string{
		"&after=" + id(5): "size", "&size=3": "after", "&after=x&size=3": "after", "&after=" + id(5) + "&size=0": "size", "&after=" + id(999) + "&size=3": "after",
	} {
		a.get(t, export+query).refused(t, http.StatusBadRequest, "invalid_parameter", field)
	}
	a.get(t, "/v1/events/export?format=bundle&after="+id(5)+"&size=3").refused(t, http.StatusBadRequest, "invalid_parameter", "after")
	p := a.get(t, export+"&after="+id(5)+"&size=1000").refused(t, http.StatusConflict, "position_beyond_end", "size")
	require.Contains(t, p.Detail, fmt.Sprintf("holds %d events", signed.Size+2))
}

// Who asks for it gets an export compressed: the same bytes, and no end where it was cut.
func TestExportsAreCompressed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 1500, 2<<10)
	a.sign(t)
	for _, format := range []string{"bundle", "ndjson", "csv"} {
		ask := func(method, coding string) answer {
			r := a.request(t, "/v1/events/export?format="+format)
			r.Method = method
			r.Header.Set("Accept-Encoding", coding) // so the client leaves the answer as it is
			response, err := a.client.Do(r)
			require.NoError(t, err)
			body, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.NoError(t, response.Body.Close())
			require.Equal(t, http.StatusOK, response.StatusCode)
			require.Equal(t, []string{"Authorization", "Accept-Encoding"}, response.Header.Values("Vary"))
			return answer{response.StatusCode, response.Header, body}
		}
		plain, small := ask(http.MethodGet, "identity"), ask(http.MethodGet, "br, gzip;q=0.5")
		require.Empty(t, plain.header.Get("Content-Encoding"))
		require.Equal(t, "gzip", small.header.Get("Content-Encoding"))
		require.Less(t, len(small.body), len(plain.body)/4)
		zip, err := gzip.NewReader(bytes.NewReader(small.body))
		require.NoError(t, err)
		text, err := io.ReadAll(zip)
		require.NoError(t, err)
		require.True(t, bytes.Equal(plain.body, text))
		require.Empty(t, ask(http.MethodHead, "gzip").body)
	}
}

func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

// An export of any size takes bounded memory, and every event in it is there once: proven in a bundle, and
// counted in NDJSON. What is stored and signed while it is read does not change what it holds.
func TestALargeExport(t *testing.T) {
	for _, format := range []string{"bundle", "ndjson", "csv"} {
		t.Run(format, func(t *testing.T) { largeExport(t, format) })
	}
}

func largeExport(t *testing.T, format string) {
	t.Helper()
	const events, size, bound = 2_000, 8 << 10, 12 << 20 // the heap grows by about 4 MiB
	a := newAPI(t)
	bulk(t, a, 0, events, size)
	a.sign(t)
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // so that the heap is what is held, not what is left over
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)

	response := a.exportAs(t.Context(), t, format, "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	start := make([]byte, 1<<10)
	_, err := io.ReadFull(response.Body, start)
	require.NoError(t, err)
	bulk(t, a, events, 500, 10) // the server waits for its reader meanwhile
	a.sign(t)

	peak, read := uint64(0), int64(0)
	seen := map[int64]bool{}
	counted := io.TeeReader(io.MultiReader(bytes.NewReader(start), response.Body), writerFunc(func(p []byte) { read += int64(len(p)) }))
	report, err := evidence.Verify(counted, a.keys(t), func(e evidence.Entry) {
		if seen[e.Index] = true; e.Number%500 == 0 {
			runtime.ReadMemStats(&now)
			peak = max(peak, now.HeapAlloc)
		}
	})
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.EqualValues(t, events, report.Entries)
	if format != "csv" { // whose cells are not read back
		require.Len(t, seen, events, "each exactly once")
	}
	require.EqualValues(t, events, report.Checkpoint.Size, "the checkpoint of its beginning")
	require.Greater(t, read, int64(events*size))
	t.Logf("%d MiB exported, heap grew by %d MiB at most", read>>20, (int64(peak)-int64(before.HeapAlloc))>>20)
	require.Less(t, int64(peak)-int64(before.HeapAlloc), int64(bound))
	require.Less(t, int64(bound), read, "or it would show nothing")
}

type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) { f(p); return len(p), nil }

// An export that fails midway ends in the middle of its HTTP and of its JSON, and never verifies.
func TestAnExportThatIsCut(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"bundle", "ndjson", "csv"} {
		t.Run(format, func(t *testing.T) {
			t.Parallel()
			cutExport(t, format)
		})
	}
}

func cutExport(t *testing.T, format string) {
	t.Helper()
	a := newAPI(t)
	bulk(t, a, 0, 3000, 8<<10)
	a.sign(t)
	response := a.exportAs(t.Context(), t, format, "")
	require.Equal(t, http.StatusOK, response.StatusCode)
	owner, err := pgx.Connect(t.Context(), a.database)
	require.NoError(t, err)
	_, err = owner.Exec(t.Context(), `REVOKE SELECT ON events FROM audittrail_api`)
	require.NoError(t, err)
	require.NoError(t, owner.Close(t.Context()))
	body, err := io.ReadAll(response.Body)
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.NoError(t, response.Body.Close())
	require.NotEmpty(t, body)
	require.False(t, json.Valid(body))
	require.NotContains(t, string(body), "permission denied")
	_, err = evidence.Verify(bytes.NewReader(body), a.keys(t), nil)
	if format == "bundle" {
		var unreadable *evidence.UnreadableError
		require.ErrorAs(t, err, &unreadable)
	} else {
		require.NotContains(t, string(body), `"complete":`)
		var fault *evidence.Fault
		require.ErrorAs(t, err, &fault)
		require.Equal(t, evidence.Incomplete, fault.Kind)
	}
	a.get(t, "/v1/events/export?format="+format).refused(t, http.StatusInternalServerError, "internal_error", "")
}

// So many exports run at once and no more, and half of them for one caller. A reader that leaves gives its
// place back.
func TestExportsAtOnce(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	bulk(t, a, 0, 3000, 8<<10)
	a.sign(t)
	as := func(caller, filters string) *http.Request {
		r := a.request(t, "/v1/events/export?format=bundle"+filters)
		r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"sub": caller}))
		return r
	}
	leave := map[string]func(){}
	for _, caller := range []string{"one", "two"} {
		ctx, cancel := context.WithCancel(t.Context())
		leave[caller] = cancel
		for range 4 {
			response, err := a.client.Do(as(caller, "").WithContext(ctx))
			require.NoError(t, err)
			require.Equal(t, http.StatusOK, response.StatusCode)
			defer response.Body.Close()
		}
		p := a.send(t, as(caller, "")).refused(t, http.StatusServiceUnavailable, "unavailable", "")
		require.Contains(t, p.Detail, "you have 4 exports under way")
	}
	p := a.send(t, as("three", "")).refused(t, http.StatusServiceUnavailable, "unavailable", "")
	require.Contains(t, p.Detail, "too many exports")
	require.Equal(t, http.StatusOK, a.get(t, "/v1/events?limit=1").status, "others go on: a waiting export holds no connection")
	leave["one"]()
	require.Eventually(t, func() bool { return a.send(t, as("three", "&eventType=None")).status == http.StatusOK },
		10*time.Second, 10*time.Millisecond)
	require.Equal(t, http.StatusServiceUnavailable, a.send(t, as("two", "&eventType=None")).status, "its own are still under way")
	leave["two"]()
	require.Eventually(t, func() bool { return a.send(t, as("two", "&eventType=None")).status == http.StatusOK },
		10*time.Second, 10*time.Millisecond)
}

// A server that stops does not wait for a reader that takes nothing.
func TestAnExportAtShutdown(t *testing.T) {
	t.Parallel()
	database := migratetest.Database(t)
	a := newAPIOn(t, database, startAPI(t, apiPool(t, database), func(s *settings) { s.drain = 100 * time.Millisecond }))
	bulk(t, a, 0, 3000, 8<<10)
	a.sign(t)
	response := a.export(t.Context(), t, "")
	defer response.Body.Close()
	ended := make(chan error, 1)
	go func() { ended <- a.stop() }()
	select {
	case err := <-ended:
		require.NoError(t, err)
	case <-time.After(10 * time.Second):
		t.Fatal("the server waits for a reader")
	}
	_, err := io.Copy(io.Discard, response.Body)
	require.Error(t, err)
}
