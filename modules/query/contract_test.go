package query_test

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

func TestListEvents(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "o-1"), order(2, "Order", "o-2"), order(3, "Order", "o-1"))

	require.Equal(t, []any{id(3), id(2), id(1)}, a.list(t, "/v1/events").all("eventId"), "newest first")
	require.Equal(t, []any{id(1), id(2), id(3)}, a.list(t, "/v1/events?order=asc").all("eventId"))
	require.Equal(t, []any{id(3), id(1)}, a.list(t, "/v1/events?aggregateId=o-1&aggregateType=Order&eventType=OrderCreated&eventType=Other").all("eventId"))
	require.Equal(t, []any{id(2)}, a.list(t, "/v1/events?from=2026-03-01T09:32:00Z&to=2026-03-01T10:33:00%2B01:00").all("eventId"))
	require.Empty(t, a.list(t, "/v1/events?eventType=none").Items)
	require.Empty(t, a.list(t, "/v1/events?to=0001-01-01T00:00:00Z").Items, "the zero time is a bound like any other")
	require.Empty(t, a.list(t, "/v1/events?to=0000-01-01T00:00:00Z").Items)
	require.Len(t, a.list(t, "/v1/events?to=9999-12-31T23:59:59-00:00").Items, 3)

	var got []any
	for path := "/v1/events?limit=2"; path != ""; {
		page := a.list(t, path)
		got = append(got, page.all("eventId")...)
		path = ""
		if page.NextCursor != nil {
			path = "/v1/events?limit=2&cursor=" + *page.NextCursor
		}
	}
	require.Equal(t, []any{id(3), id(2), id(1)}, got)
}

func TestAnEventsShape(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, `{"eventId":"0190D3F1-7C3A-7B1E-9C55-00000000AAAA","eventType":"E","aggregateId":"a","aggregateType":"A",
		"timestamp":"2026-03-01T10:30:00.1234567+01:00","version":1.0,"payload":{"big":9223372036854775808,"e":1e400,"t":"<&>"},"extra":1}`)
	got := a.get(t, "/v1/events/0190d3f1-7c3a-7b1e-9c55-00000000aaaa")
	require.Equal(t, http.StatusOK, got.status)
	require.Regexp(t, `^\{"eventId":"0190d3f1-7c3a-7b1e-9c55-00000000aaaa","eventType":"E","aggregateId":"a","aggregateType":"A",`+
		`"timestamp":"2026-03-01T09:30:00\.123456Z","version":1,"payload":\{"big":9223372036854775808,"e":1e\+400,"t":"<&>"\},`+
		`"metadata":\{"extensions":\{"extra":1\}\},"position":0,"recordedAt":"[0-9-]{10}T[0-9:]{8}\.[0-9]{6}Z",`+
		`"kafka":\{"topic":"orders","partition":0,"offset":0\},"salt":"[A-Za-z0-9_-]{22}"\}$`, string(got.body))
	require.Equal(t, "private", got.header.Get("Cache-Control"))
	require.Contains(t, got.header.Get("Vary"), "Authorization")
}

func TestAnEventThatTheCallerHas(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "o-1"))
	first := a.get(t, "/v1/events/"+id(1))
	etag := first.header.Get("ETag")
	require.Regexp(t, `^"[0-9a-f]{32}"$`, etag)
	for header, status := range map[string]int{
		etag: 304, "*": 304, `"other", W/` + etag: 304, `"other"`: 200, "junk": 200,
		strings.Repeat(`"other", `, 3000) + etag: 304,
	} {
		r := a.request(t, "/v1/events/"+id(1))
		r.Header.Set("If-None-Match", header)
		got := a.send(t, r)
		require.Equal(t, status, got.status, header)
		require.Equal(t, etag, got.header.Get("ETag"))
		if status == 304 {
			require.Empty(t, got.body)
		}
	}
	for status, lines := range map[int][]string{304: {`"other"`, `"another", ` + etag}, 200: {`"other"`, `"another"`}} {
		r := a.request(t, "/v1/events/"+id(1))
		r.Header["If-None-Match"] = lines
		require.Equal(t, status, a.send(t, r).status, "a list may come on several lines")
	}
	r := a.request(t, "/v1/events/"+id(2))
	r.Header.Set("If-None-Match", "*")
	a.send(t, r).refused(t, 404, "not_found", "")
}

func TestAggregatesByAnyName(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	names := []string{"o-1", "a/b", "a%2Fb", "100%", "a b", "a+b", "ä/ö ü", "注文", "..", ".", "a;b,c", "?x=y#z", `"q'\`, "a:b@c&d=e", "events"}
	for i, name := range names {
		a.append(t, order(2*i, name, name), order(2*i+1, name, name))
	}
	for i, name := range names {
		t.Run(name, func(t *testing.T) {
			path := "/v1/aggregates/" + escaped(name) + "/" + escaped(name) + "/events"
			require.Equal(t, []any{id(2 * i), id(2*i + 1)}, a.list(t, path).all("eventId"), "oldest first")
			require.Equal(t, []any{id(2*i + 1), id(2 * i)}, a.list(t, path+"?order=desc").all("eventId"))
			page := a.list(t, path+"?limit=1")
			require.NotNil(t, page.NextCursor)
			require.Equal(t, []any{id(2*i + 1)}, a.list(t, path+"?limit=1&cursor="+*page.NextCursor).all("eventId"))
			query := url.Values{"aggregateType": {name}, "aggregateId": {name}}
			require.Len(t, a.list(t, "/v1/events?"+query.Encode()).Items, 2)
		})
	}
	require.Empty(t, a.list(t, "/v1/aggregates/No/such/events").Items)
}

// escaped percent-encodes every byte, so that no client or router can find a dot or slash in it.
func escaped(name string) string {
	out := ""
	for _, c := range []byte(name) {
		out += "%" + strconv.FormatUint(uint64(c)>>4, 16) + strconv.FormatUint(uint64(c)&15, 16)
	}
	return out
}

func TestFeed(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	empty := a.list(t, "/v1/feed")
	require.Empty(t, empty.Items)
	require.Nil(t, empty.NextCursor)
	require.Equal(t, int64(-1), empty.ScannedTo)
	a.get(t, "/v1/feed?after=0").refused(t, http.StatusConflict, "position_beyond_end", "after")

	a.append(t, order(5, "Order", "x"), order(4, "Order", "x"))
	a.append(t, order(3, "Order", "x"))
	page := a.list(t, "/v1/feed?limit=2")
	require.Equal(t, []any{id(5), id(4)}, page.all("eventId"), "in commit order, not by time")
	require.Equal(t, "1", *page.NextCursor)
	page = a.list(t, "/v1/feed?after="+*page.NextCursor)
	require.Equal(t, []any{2.0}, page.all("position"))
	require.Nil(t, page.NextCursor)
	require.Equal(t, int64(2), page.ScannedTo)
	require.Empty(t, a.list(t, "/v1/feed?after=2").Items)
	for _, after := range []string{"3", "9000000000000000000", "9223372036854775807", "3&wait=30"} {
		a.get(t, "/v1/feed?after="+after).refused(t, http.StatusConflict, "position_beyond_end", "after")
	}
	require.Contains(t, string(a.get(t, "/v1/feed?after=3").body), "position 2:", "it names the end")
	require.Len(t, a.list(t, "/v1/feed?after=-1&wait=30").Items, 3, "nothing to wait for")
}

func TestDeadLetters(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, `{"eventId":"x"}`, order(1, "Order", "x"), "", "nonsense")
	letters := a.list(t, "/v1/dead-letters")
	require.Len(t, letters.Items, 3)
	require.Equal(t, []any{"pending", "pending", "pending"}, letters.all("status"))
	one := letters.Items[0]
	require.Equal(t, "malformed_json", one["reason"])
	require.Equal(t, "bm9uc2Vuc2U=", one["value"])
	require.Equal(t, "a2V5", one["key"])
	require.Equal(t, []any{map[string]any{"key": "h\uFFFD", "keyBase64": "aP8=", "value": "AQ=="}, map[string]any{"key": "none", "value": nil}}, one["headers"])

	require.Len(t, a.list(t, "/v1/dead-letters?reason=malformed_json&topic=orders&status=pending").Items, 1)
	require.Empty(t, a.list(t, "/v1/dead-letters?status=redriven").Items)
	page := a.list(t, "/v1/dead-letters?limit=2")
	require.Equal(t, letters.all("id")[2:], a.list(t, "/v1/dead-letters?cursor="+*page.NextCursor).all("id"))

	number := strconv.Itoa(int(one["id"].(float64)))
	var single map[string]any
	a.get(t, "/v1/dead-letters/"+number).decode(t, &single)
	require.Equal(t, map[string]any{"text": "nonsense", "place": map[string]any{"from": 1.0, "to": 2.0, "line": 1.0, "column": 2.0}}, single["decoded"])
	delete(single, "decoded") // the list leaves it out
	require.Equal(t, one, single)
	a.get(t, "/v1/dead-letters/999999").refused(t, 404, "not_found", "")
	a.get(t, "/v1/dead-letters/0").refused(t, 400, "invalid_parameter", "id")
	a.get(t, "/v1/dead-letters/x").refused(t, 400, "invalid_parameter", "id")
}

func TestIngestOffsets(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "x"), "nonsense")
	a.append(t, order(1, "Order", "x"))
	require.Equal(t, []map[string]any{{
		"topic": "orders", "partition": 0.0, "nextOffset": 3.0, "stored": 1.0, "duplicates": 1.0, "deadLettered": 1.0, "absent": 0.0,
	}}, a.list(t, "/v1/ingest/offsets").Items)
}

func TestTheSpecificationAndItsPages(t *testing.T) {
	t.Parallel()
	a := startAPI(t, apiPool(t, "postgres://nobody@127.0.0.1:1/none?connect_timeout=1"))
	for _, path := range []string{"/openapi.json", "/schemas/event.json", "/docs", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js", "/docs/favicon-32x32.png", "/docs/start.js"} {
		r := a.request(t, path)
		r.Header.Del("Authorization")
		got := a.send(t, r)
		require.Equal(t, http.StatusOK, got.status, path)
		require.NotEmpty(t, got.body)
	}
	got := a.get(t, "/docs")
	require.Equal(t, "text/html; charset=UTF-8", got.header.Get("Content-Type"))
	require.Contains(t, got.header.Get("Content-Security-Policy"), "script-src 'self';")
	require.NotContains(t, string(got.body), "https://", "nothing is loaded from elsewhere")
	require.NotContains(t, string(got.body), "<script>", "the policy lets no script in the page run")
	var spec struct{ Paths map[string]any }
	a.get(t, "/openapi.json").decode(t, &spec)
	require.Contains(t, spec.Paths, "/v1/events")
	require.Equal(t, event.Schema, string(a.get(t, "/schemas/event.json").body))
	a.get(t, "/docs/../openapi.yaml").refused(t, 404, "not_found", "")
	a.get(t, "/docs/swagger-ui.js").refused(t, 404, "not_found", "")
}
