package client

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func serve(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	c, err := New(s.URL+"/", " secret\n")
	require.NoError(t, err)
	return c
}

func answer(w http.ResponseWriter, status int, kind, body string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(status)
	fmt.Fprint(w, body)
}

// A list of 2,500 in pages, some of them empty before the end.
func TestListPagesThroughEmptyPagesToTheEnd(t *testing.T) {
	const total = 2500
	var sizes []int
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		assert.Equal(t, []string{"A", "B"}, r.URL.Query()["eventType"])
		at, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		assert.NoError(t, err)
		sizes = append(sizes, limit)
		items := []int{}
		for i := at; len(sizes)%2 == 1 && i < min(at+limit, total); i++ {
			items = append(items, i)
		}
		var next *string
		if end := at + len(items); end < total {
			s := strconv.Itoa(end)
			next = &s
		}
		body, _ := json.Marshal(map[string]any{"items": items, "nextCursor": next})
		answer(w, 200, "application/json; charset=utf-8", string(body))
	})
	for limit, want := range map[int]int{0: total, 1200: 1200, 10_000: total} {
		sizes = nil
		list := c.List("/v1/events", url.Values{"eventType": {"A", "B"}}, limit, "")
		n := 0
		for item, err := range list.All(t.Context()) {
			require.NoError(t, err)
			require.Equal(t, strconv.Itoa(n), string(item))
			n++
		}
		require.Equal(t, want, n)
		require.Equal(t, want < total, list.NextCursor() != "")
		if limit == 1200 {
			require.Equal(t, 200, sizes[len(sizes)-1], "no more is asked for than is wanted")
		}
	}
}

func TestProblemsAreErrorsWithFieldAndCorrelationID(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		answer(w, 400, "application/problem+json", `{"type":"about:blank","title":"Bad Request","status":400,"detail":"the request is wrong",
			"code":"invalid_parameter","errors":[{"field":"from","detail":"must be RFC 3339"}],"correlationId":"c-17"}`)
	})
	_, err := c.Get(t.Context(), "/v1/events", nil)
	var p *Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "invalid_parameter", p.Code)
	for _, part := range []string{"400 invalid_parameter", "the request is wrong", "from: must be RFC 3339", "c-17"} {
		require.ErrorContains(t, err, part)
	}
}

func TestWhatIsNotTheAPIIsNamed(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"another server":  func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, "text/html", "<html>") },
		"a proxy's error": func(w http.ResponseWriter, _ *http.Request) { answer(w, 502, "text/plain", "bad gateway") },
		"a redirect":      func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := serve(t, h).Get(t.Context(), "/v1/events", nil)
			require.ErrorContains(t, err, "is client.url right?")
		})
	}
	c, err := New("http://127.0.0.1:1", "")
	require.NoError(t, err)
	_, err = c.Get(t.Context(), "/v1/events", url.Values{"aggregateId": {"confidential"}})
	require.ErrorContains(t, err, "no answer from http://127.0.0.1:1")
	require.NotContains(t, err.Error(), "confidential")
}

func TestPathsAreSentAsTheyAreEscaped(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/v1/aggregates/Order/2026%2F17%20%25/events", r.URL.EscapedPath())
		answer(w, 200, "application/json", "{}")
	})
	_, err := c.Get(t.Context(), "/v1/aggregates/Order/"+url.PathEscape("2026/17 %")+"/events", nil)
	require.NoError(t, err)
}

func TestOnlyHTTPURLsAreTaken(t *testing.T) {
	for _, bad := range []string{"", "127.0.0.1:8080", "ftp://host", "http://", "://"} {
		_, err := New(bad, "")
		require.ErrorContains(t, err, "client.url", "%q", bad)
	}
}

func TestPlainTokensAreNoticed(t *testing.T) {
	for base, plain := range map[string]bool{
		"http://127.0.0.1:8080": false, "http://localhost": false, "http://[::1]:1": false,
		"https://audit.example.com": false, "http://audit.example.com": true, "http://10.0.0.1": true,
	} {
		c, err := New(base, "token")
		require.NoError(t, err)
		require.Equal(t, plain, c.Plain(), base)
	}
}

func TestOpenReadsAnAnswerOfAnyLength(t *testing.T) {
	head := bundleHead(t)
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "Bearer secret", r.Header.Get("Authorization"))
		assert.Equal(t, "bundle", r.URL.Query().Get("format"))
		answer(w, 200, "application/json", head+strings.Repeat(`{"event":{}},`, 1_000_000)+`{}]}`)
	})
	body, err := c.Open(t.Context(), "/v1/events/export", url.Values{"format": {"bundle"}})
	require.NoError(t, err)
	var n, entries int64
	require.NoError(t, CopyBundle(counter{&n}, body, func() { entries++ }))
	require.NoError(t, body.Close())
	require.EqualValues(t, 1_000_001, entries)
	require.EqualValues(t, 13_000_000+len(head+`{}]}`), n)
}

type counter struct{ n *int64 }

func (c counter) Write(p []byte) (int, error) { *c.n += int64(len(p)); return len(p), nil }

func TestOpenTellsProblemsAndEndsWithItsContext(t *testing.T) {
	c := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refused" {
			answer(w, 503, "application/problem+json", `{"code":"not_yet_signed","correlationId":"c-1","errors":[]}`)
			return
		}
		answer(w, 200, "application/json", `{"entries":[`)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	_, err := c.Open(t.Context(), "/refused", nil)
	var p *Problem
	require.ErrorAs(t, err, &p)
	require.Equal(t, "not_yet_signed", p.Code)

	ctx, cancel := context.WithCancel(t.Context())
	body, err := c.Open(ctx, "/v1/events/export", nil)
	require.NoError(t, err)
	got := make([]byte, 12)
	_, err = io.ReadFull(body, got)
	require.NoError(t, err)
	cancel()
	_, err = body.Read(got)
	require.ErrorIs(t, err, context.Canceled)
	require.NoError(t, body.Close())
}
