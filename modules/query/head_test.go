package query_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"
)

// heads are what tells a representation; each is the same with HEAD as with GET.
var heads = []string{"Content-Type", "Content-Length", "Etag", "Cache-Control", "Vary", "Www-Authenticate", "Retry-After", "Content-Security-Policy", "Content-Disposition", "Location"}

// headLike asks by HEAD and by GET, and requires the same answer but for the body.
func (a *api) headLike(t *testing.T, path string, adjust ...func(*http.Request)) int {
	t.Helper()
	var got [2]*http.Response
	var size [2]int
	for i, method := range []string{http.MethodGet, http.MethodHead} {
		r := a.request(t, path)
		r.Method = method
		r.Header.Set("Accept-Encoding", "identity")
		for _, f := range adjust {
			f(r)
		}
		response, err := a.client.Transport.RoundTrip(r)
		require.NoError(t, err, path)
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err, path)
		require.NoError(t, response.Body.Close())
		got[i], size[i] = response, len(body)
	}
	require.Equal(t, got[0].StatusCode, got[1].StatusCode, path)
	require.Zero(t, size[1], path)
	for _, name := range heads {
		require.Equal(t, got[0].Header.Values(name), got[1].Header.Values(name), "%s of %s", name, path)
	}
	return got[1].StatusCode
}

func TestHeadIsGetWithoutABody(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "x"), order(2, "Order", "x"))
	a.sign(t)
	for path, status := range map[string]int{
		"/v1/events": 200, "/v1/events/" + id(1): 200, "/v1/events/" + id(9): 404, "/v1/events?limit=0": 400,
		"/v1/feed?after=1&wait=1": 200, "/v1/events/" + id(1) + "/proof": 200, "/v1/events/export?format=bundle": 200,
		"/openapi.json": 200, "/docs": 200, "/docs/": 308, "/docs/start.js": 200, "/docs/swagger-ui.css": 200,
		"/nowhere": 404,
	} {
		require.Equal(t, status, a.headLike(t, path), path)
	}
	none := func(r *http.Request) { r.Header.Del("Authorization") }
	require.Equal(t, 401, a.headLike(t, "/v1/events", none))
	known := a.get(t, "/v1/events/"+id(1)).header.Get("ETag")
	require.Equal(t, 304, a.headLike(t, "/v1/events/"+id(1), func(r *http.Request) { r.Header.Set("If-None-Match", known) }))
	require.Contains(t, a.series(t), "/v1/events HEAD 200 1")
}

func TestDocsWithASlash(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	response, err := a.client.Transport.RoundTrip(a.request(t, "/docs/"))
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusPermanentRedirect, response.StatusCode)
	require.Equal(t, "../docs", response.Header.Get("Location"))
}
