package query_test

import (
	"fmt"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"
)

// told is an order event that says more of itself.
func told(n int, payload, metadata string) string {
	return fmt.Sprintf(`{"eventId":%q,"eventType":"OrderCreated","aggregateId":"o-%d","aggregateType":"Order",
		"timestamp":"2026-03-01T09:3%d:00Z","version":1,"payload":%s,"metadata":%s}`, id(n), n, n, payload, metadata)
}

func TestSearchByWhatEventsSay(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t,
		told(1, `{"order":"A-17","lines":[{"sku":"x"},{"sku":"y"}],"open":true}`, `{"correlationId":"w-1","userId":"u-1","source":"shop"}`),
		told(2, `{"order":"A-18","lines":[],"open":false}`, `{"correlationId":"w-1","causationId":"`+id(1)+`","userId":"u-2","source":"shop"}`),
		told(3, `{"nested":{"order":"A-17"}}`, `{"correlationId":"w-2","userId":"u-1","source":"billing ä"}`),
		told(4, `"A-17"`, `{}`),
	)
	for query, want := range map[string][]any{
		"correlationId=w-1":                                 {id(2), id(1)},
		"causationId=" + id(1):                              {id(2)},
		"userId=u-1":                                        {id(3), id(1)},
		"userId=u-1&source=shop":                            {id(1)},
		"source=" + url.QueryEscape("billing ä"):            {id(3)},
		"source=none":                                       {},
		"aggregateId=o-3":                                   {id(3)},
		"aggregateId=o-9":                                   {},
		pattern(`{"order":"A-17"}`):                         {id(1)},
		pattern(`{"nested":{"order":"A-17"}}`):              {id(3)},
		pattern(`"A-17"`):                                   {id(4)},
		pattern(`{ "lines": [{"sku":"y"}], "open": true }`): {id(1)},
		pattern(`{"lines":[]}`) + "&from=2026-03-01T00:00:00Z&to=2026-04-01T00:00:00Z": {id(2), id(1)},
	} {
		got := a.list(t, "/v1/events?"+query)
		require.ElementsMatch(t, want, got.all("eventId"), query)
		require.Nil(t, got.NextCursor, query)
	}
	for query, field := range map[string]string{
		pattern(`{"lines":[]}`):  "payload",
		pattern(`{`):             "payload",
		pattern(`{"$sealed":1}`): "payload",
		pattern(`{"x":"` + string(make([]byte, 1)) + `"}`): "payload",
		"userId=":                 "userId",
		"fields=eventId,nothing":  "fields",
		"fields=eventId,,payload": "fields",
		"count=all":               "count",
	} {
		a.get(t, "/v1/events?"+query).refused(t, 400, "invalid_parameter", field)
	}
}

func pattern(json string) string { return "payload=" + url.QueryEscape(json) }

func TestSearchAnswersTheFieldsThatAreWanted(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, told(1, `{"a":{"b":"c, \"d\""}}`, `{"userId":"u-1"}`), told(2, `7`, `{}`))
	got := a.get(t, "/v1/events?fields=position,payload,eventId&order=asc")
	require.JSONEq(t, fmt.Sprintf(`{"items":[{"eventId":%q,"payload":{"a":{"b":"c, \"d\""}},"position":0},{"eventId":%q,"payload":7,"position":1}],"nextCursor":null}`, id(1), id(2)), string(got.body))
	a.get(t, "/v1/events/export?format=bundle&fields=eventId").refused(t, 400, "invalid_parameter", "fields")
	require.Regexp(t, `^\{"version":1\}\n\{"version":1\}\n\{"complete":true,"count":2,`, string(a.get(t, "/v1/events/export?format=ndjson&fields=version").body))
}

func TestSearchCounts(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.Contains(t, string(a.get(t, "/v1/events?count=exact").body), `"count":{"value":0,"capped":false}`)
	a.append(t, told(1, `{}`, `{"userId":"u-1"}`), told(2, `7`, `{}`), told(3, `8`, `{"userId":"u-1"}`))
	for query, want := range map[string]string{
		"count=exact":                    `"count":{"value":3,"capped":false}`,
		"count=exact&userId=u-1&limit=1": `"count":{"value":2,"capped":false}`,
		"count=exact&userId=none":        `"count":{"value":0,"capped":false}`,
		"count=exact&aggregateId=o-2":    `"count":{"value":1,"capped":false}`,
	} {
		require.Contains(t, string(a.get(t, "/v1/events?"+query).body), want, query)
	}
	require.Regexp(t, `"count":\{"value":[0-9]+,"estimate":true\}\}$`, string(a.get(t, "/v1/events?count=estimate&userId=u-1").body))
}
