package query_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParametersThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	long := strings.Repeat("x", 256)
	for path, field := range map[string]string{
		"/v1/events?limit=0":                                           "limit",
		"/v1/events?limit=-1":                                          "limit",
		"/v1/events?limit=1001":                                        "limit",
		"/v1/events?limit=99999999999":                                 "limit",
		"/v1/events?limit=99999999999999999999999":                     "limit",
		"/v1/events?limit=%2B5":                                        "limit",
		"/v1/events?limit=5.0":                                         "limit",
		"/v1/events?limit=05":                                          "limit",
		"/v1/events?limit=0x10":                                        "limit",
		"/v1/events?limit=":                                            "limit",
		"/v1/events?limit":                                             "limit",
		"/v1/events?limit=1&limit=2":                                   "limit",
		"/v1/events?order=up":                                          "order",
		"/v1/events?order=DESC":                                        "order",
		"/v1/events?eventTyp=A":                                        "eventTyp",
		"/v1/events?EventType=A":                                       "EventType",
		"/v1/events?eventType%5B%5D=A":                                 "eventType[]",
		"/v1/events?eventType=":                                        "eventType",
		"/v1/events?eventType=A&eventType=":                            "eventType",
		"/v1/events?eventType=" + long:                                 "eventType",
		"/v1/events?aggregateId=a%00b":                                 "aggregateId",
		"/v1/events?aggregateId=a%0Ab":                                 "aggregateId",
		"/v1/events?aggregateId=%C2%85":                                "aggregateId",
		"/v1/events?aggregateId=%ff%fe":                                "aggregateId",
		"/v1/events?aggregateId=%ED%A0%80":                             "aggregateId",
		"/v1/events?aggregateId=%zz":                                   "aggregateId",
		"/v1/events?aggregateId=a;limit=5":                             "aggregateId",
		"/v1/events?%zz=1":                                             "query",
		"/v1/events?=1":                                                "query",
		"/v1/events?%00=1":                                             "query",
		"/v1/events?from=yesterday":                                    "from",
		"/v1/events?from=2026-03-01":                                   "from",
		"/v1/events?from=2026-03-01T09:30:00+01:00":                    "from",
		"/v1/events?from=2026-02-30T00:00:00Z":                         "from",
		"/v1/events?to=2026-03-01T09:30:60Z":                           "to",
		"/v1/events?from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z": "to",
		"/v1/events?from=2027-03-01T00:00:00Z&to=2026-03-01T00:00:00Z": "to",
		"/v1/events?cursor=" + strings.Repeat("A", 201):                "cursor",
		"/v1/events?payload=%7B%7D":                                    "payload",
		"/v1/events?" + strings.Repeat("eventType=A&", 51):             "eventType",
		"/v1/events/" + id(1) + "?x=1":                                 "x",
		"/v1/events/nonsense":                                          "eventId",
		"/v1/events/" + strings.ReplaceAll(id(1), "-", ""):             "eventId",
		"/v1/events/%7B" + id(1) + "%7D":                               "eventId",
		"/v1/events/00000000-0000-0000-0000-000000000000":              "eventId",
		"/v1/aggregates/" + long + "/x/events":                         "type",
		"/v1/aggregates/Order/a%00b/events":                            "id",
		"/v1/aggregates/Order/%ff/events":                              "id",
		"/v1/aggregates//x/events":                                     "type",
		"/v1/feed?after=-2":                                            "after",
		"/v1/feed?after=9223372036854775808":                           "after",
		"/v1/feed?after=1.5":                                           "after",
		"/v1/feed?wait=31":                                             "wait",
		"/v1/feed?cursor=x":                                            "cursor",
		"/v1/dead-letters?reason=because":                              "reason",
		"/v1/dead-letters?status=open":                                 "status",
		"/v1/ingest/offsets?limit=5":                                   "limit",
		"/openapi.json?x=1":                                            "x",
		"/v1/events?" + strings.Repeat("%E2%80%AE", 10) + "x=1":        "x",
		"/v1/events?" + strings.Repeat("y", 100) + "=1":                strings.Repeat("y", 64),
	} {
		t.Run(path[:min(len(path), 80)], func(t *testing.T) {
			got := a.get(t, path).refused(t, http.StatusBadRequest, "invalid_parameter", field)
			require.NotContains(t, got.Detail, "strconv", "a library's text")
			require.NotContains(t, got.Detail, "%!", "a broken format")
		})
	}
	for _, cursor := range []string{"junk", "AAAA", "%20", strings.Repeat("A", 34), "AbCdEfGhIjKlMnOpQrStUvWxYz0123456_"} {
		a.get(t, "/v1/events?cursor="+cursor).refused(t, http.StatusBadRequest, "invalid_cursor", "cursor")
		a.get(t, "/v1/dead-letters?cursor="+cursor).refused(t, http.StatusBadRequest, "invalid_cursor", "cursor")
	}
	long255 := strings.Repeat("ä", 255)
	require.Empty(t, a.list(t, "/v1/events?aggregateId="+long255).Items, "characters count, not bytes")
}

func TestPathsAndMethodsThatAreNotThere(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, path := range []string{"/", "/v1", "/v2/events", "/v1/events/", "/v1/events/x/y", "/docs/x/y", "/v1//events", "/../etc/passwd", "/v1/aggregates/a/b", "/metrics"} {
		a.get(t, path).refused(t, http.StatusNotFound, "not_found", "")
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"} {
		r := a.request(t, "/v1/events")
		r.Method = method
		response, err := a.client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusMethodNotAllowed, response.StatusCode, method)
		require.Equal(t, "OPTIONS, GET, HEAD", response.Header.Get("Allow"))
	}
	require.Equal(t, 200, a.get(t, "/v1/%65vents").status, "a path's spelling does not matter")
}

func TestBodiesAndHeadersThatAreRefused(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for _, length := range []int64{2, -1} { // as it is told, and in chunks
		r := a.request(t, "/v1/events")
		r.Body = io.NopCloser(strings.NewReader("{}"))
		r.ContentLength = length
		response, err := a.client.Do(r)
		require.NoError(t, err)
		require.NoError(t, response.Body.Close())
		require.Equal(t, http.StatusRequestEntityTooLarge, response.StatusCode, length)
	}

	r := a.request(t, "/v1/events")
	r.Header.Set("X-Large", strings.Repeat("x", 64<<10))
	response, err := a.client.Do(r)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, response.StatusCode)

	// What is no HTTP at all ends its own connection and nothing else.
	conn, err := net.Dial("tcp", strings.TrimPrefix(a.url, "http://"))
	require.NoError(t, err)
	_, err = fmt.Fprint(conn, "GET /v1/events\x00 HTTP/1.1\r\nHost: x\r\n\r\n")
	require.NoError(t, err)
	line, err := bufio.NewReader(conn).ReadString('\n')
	require.NoError(t, err)
	require.Contains(t, line, "400")
	require.NoError(t, conn.Close())
	require.Equal(t, 200, a.get(t, "/v1/events").status)
}

func TestCorrelationIDs(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	for sent, taken := range map[string]bool{
		"order-551": true, "A.b_c:d-9": true, strings.Repeat("x", 128): true,
		strings.Repeat("x", 129): false, "a b": false, `x"y`: false, "ä": false, "": false,
	} {
		r := a.request(t, "/v1/events")
		r.Header.Set("X-Correlation-Id", sent)
		got := a.send(t, r).header.Get("X-Correlation-Id")
		if taken {
			require.Equal(t, sent, got)
		} else {
			require.Regexp(t, "^[0-9a-f]{32}$", got)
		}
	}
}
