package cmd

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// call runs the program with these arguments and answers what it printed.
func call(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, errs bytes.Buffer
	status = run(t.Context(), args, &out, &errs)
	return out.String(), errs.String(), status
}

// eventsAPI answers like the API with n events, 100 a page at most, and notes the queries.
func eventsAPI(t *testing.T, n int, queries *[]url.Values) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"status":401,"code":"unauthenticated","detail":"a token is wanted","errors":[],"correlationId":"c-9"}`)
			return
		}
		*queries = append(*queries, r.URL.Query())
		if id, ok := strings.CutPrefix(r.URL.Path, "/v1/events/"); ok {
			fmt.Fprintf(w, `{"eventId":%q,"payload":{"x":"%s"}}`, id, "\u009b2J")
			return
		}
		from, _ := strconv.Atoi(r.URL.Query().Get("cursor"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		to := min(from+min(limit, 100), n)
		items := []string{}
		for i := from; i < to; i++ {
			items = append(items, fmt.Sprintf(`{"position":%d,"eventId":"e-%d","eventType":"Order\u001b[2JPlaced","aggregateId":"o-%d",
				"aggregateType":"Order","timestamp":"2026-01-01T00:00:00.000000Z","version":1,"payload":{"n":%d,"c":"%s"},"metadata":{"userId":"u"}}`, i, i, i, i, "\u009b2J"))
		}
		next := "null"
		if to < n {
			next = fmt.Sprintf(`"%d"`, to)
		}
		count := ""
		if r.URL.Query().Has("count") {
			count = fmt.Sprintf(`,"count":{"value":%d,"capped":%t}`, min(n, 10000), n > 10000)
		}
		fmt.Fprintf(w, `{"items":[%s],"nextCursor":%s%s}`, strings.Join(items, ","), next, count)
	}))
	t.Cleanup(s.Close)
	t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN", "s3cret")
	return s.URL
}

func TestEventsTablePagesUpToTheLimit(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 1000, &queries)
	out, errs, status := call(t, "events", "--limit", "250", "--event-type", "A", "--event-type", "B,C",
		"--aggregate-type", "Order", "--aggregate-id", "o/1", "--from", "2026-01-01T00:00:00+02:00", "--order", "asc")
	require.Equal(t, 0, status, errs)
	require.Equal(t, 251, strings.Count(out, "\n"), "a header and 250 events")
	require.Contains(t, out, "2026-01-01T00:00:00.000000Z  Order\\x1b[2JPlaced  Order o-0")
	require.NotContains(t, out, "\x1b")
	require.NotContains(t, out, "\u009b")
	require.Len(t, queries, 3)
	require.Equal(t, url.Values{
		"eventType": {"A", "B,C"}, "aggregateType": {"Order"}, "aggregateId": {"o/1"},
		"from": {"2025-12-31T22:00:00.000000Z"}, "order": {"asc"}, "limit": {"250"},
	}, queries[0])
	require.Equal(t, "50", queries[2].Get("limit"))
}

func TestEventsCounts(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 1234, &queries)
	out, errs, status := call(t, "events", "--count", "--user-id", "u-1", "--source", "shop", "--correlation-id", "w",
		"--causation-id", "c", "--payload", `{"a":1}`)
	require.Equal(t, 0, status, errs)
	require.Equal(t, "1,234\n", out)
	require.Equal(t, url.Values{
		"userId": {"u-1"}, "source": {"shop"}, "correlationId": {"w"}, "causationId": {"c"}, "payload": {`{"a":1}`},
		"order": {"desc"}, "limit": {"1"}, "count": {"exact"}, "fields": {"position"},
	}, queries[0])
	eventsAPI(t, 20_000, &queries)
	out, _, _ = call(t, "events", "--count")
	require.Equal(t, "more than 10,000\n", out)
	out, _, _ = call(t, "events", "--count", "--output", "json")
	require.JSONEq(t, `{"value":10000,"capped":true}`, out)
	_, errs, status = call(t, "events", "--count", "--limit", "3")
	require.Equal(t, 2, status)
	require.Contains(t, errs, "--limit")
}

func TestEventsJSONIsOneDocumentAndNDJSONALineEach(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 120, &queries)
	out, errs, status := call(t, "events", "--output", "json", "--limit", "110")
	require.Equal(t, 0, status, errs)
	require.NotContains(t, out, "\u009b")
	var doc struct {
		Items []struct {
			EventID string         `json:"eventId"`
			Payload map[string]any `json:"payload"`
		} `json:"items"`
		NextCursor *string `json:"nextCursor"`
	}
	require.NoError(t, json.Unmarshal([]byte(out), &doc))
	require.Len(t, doc.Items, 110)
	require.Equal(t, "\u009b2J", doc.Items[0].Payload["c"])
	require.Equal(t, "110", *doc.NextCursor)

	out, errs, status = call(t, "events", "--output", "ndjson", "--limit", "0", "--cursor", "110")
	require.Equal(t, 0, status, errs)
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	require.Len(t, lines, 10)
	for i, line := range lines {
		var e struct{ EventID string }
		require.NoError(t, json.Unmarshal([]byte(line), &e))
		require.Equal(t, fmt.Sprintf("e-%d", 110+i), e.EventID)
	}
}

func TestEventsOfNothingAreAnEmptyList(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 0, &queries)
	out, _, status := call(t, "events", "--output", "json")
	require.Equal(t, 0, status)
	require.JSONEq(t, `{"items":[],"nextCursor":null}`, out)
	out, _, status = call(t, "events")
	require.Equal(t, 0, status)
	require.Equal(t, 1, strings.Count(out, "\n"), "the header alone")
}

func TestOneEventByID(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 0, &queries)
	const id = "0199c82c-c000-7c4f-be77-7053b0b76e5b"
	out, errs, status := call(t, "events", "--id", strings.ToUpper(id))
	require.Equal(t, 0, status, errs)
	require.NotContains(t, out, "\u009b")
	require.JSONEq(t, `{"eventId":"`+id+`","payload":{"x":"\u009b2J"}}`, out)
}

func TestWrongUseOfEvents(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 10, &queries)
	for name, args := range map[string][]string{
		"--aggregate-id must not be empty":   {"--aggregate-id", ""},
		"--event-type must not be empty":     {"--event-type", "A", "--event-type", ""},
		"--from must be RFC 3339":            {"--from", "yesterday"},
		"--to must be RFC 3339":              {"--to", "2026-13-01T00:00:00Z"},
		"--order must be asc or desc":        {"--order", "up"},
		"--limit must not be negative":       {"--limit", "-1"},
		"--id must be a UUID":                {"--id", "17"},
		"can't be given together with --to":  {"--id", "0199c82c-c000-7c4f-be77-7053b0b76e5b", "--to", "1h"},
		"must be one of table, json, ndjson": {"--output", "xml"},
		"client.url must be":                 {"--client.url", "localhost:8080"},
	} {
		t.Run(name, func(t *testing.T) {
			out, errs, status := call(t, append([]string{"events"}, args...)...)
			require.Equal(t, 2, status, errs)
			require.Contains(t, errs, name)
			require.Empty(t, out)
		})
	}
	require.Empty(t, queries, "nothing was asked")
}

func TestEventsTellsWhatTheAPIRefuses(t *testing.T) {
	var queries []url.Values
	eventsAPI(t, 10, &queries)
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN", "expired")
	_, errs, status := call(t, "events")
	require.Equal(t, 1, status)
	require.Contains(t, errs, "401 unauthenticated")
	require.Contains(t, errs, "AUDITTRAIL_CLIENT_TOKEN_FILE")
	require.Contains(t, errs, "c-9")
	require.NotContains(t, errs, "expired")
}
