package query_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// change is the n-th test event, of the aggregate Order o-1: a minute after the one before.
func change(n, version int, payload, metadata string) string {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	return fmt.Sprintf(`{"eventId":%q,"eventType":"E","aggregateId":"o-1","aggregateType":"Order","timestamp":%q,"version":%d,"payload":%s,"metadata":%s}`,
		id(n), at.Format(time.RFC3339Nano), version, payload, metadata)
}

func TestStateAndDiff(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	// Stored in another order than they happened.
	a.append(t, change(3, 4, `{"status":null,"paid":{"by":"card"}}`, `{}`))
	a.append(t, change(1, 1, `{"status":"new","total":12345678901234567.10}`, `{}`), change(2, 2, `{"status":"open"}`, `{}`), change(4, 4, `{"paid":{"at":1}}`, `{}`))
	const path = "/v1/aggregates/Order/o-1"

	got := a.get(t, path+"/state")
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	require.JSONEq(t, `{"aggregateType":"Order","aggregateId":"o-1","version":4,"position":3,"asOf":"2026-03-01T09:34:00.000000Z",
		"state":{"total":12345678901234567.1,"paid":{"by":"card","at":1}},"events":4,
		"versions":{"gaps":[{"from":3,"to":3}],"repeats":[{"version":4,"events":2}],"disorder":[],"counts":{"gaps":1,"repeats":1,"disorder":0}}}`, string(got.body))
	require.Contains(t, string(got.body), "\"total\":12345678901234567.1}", "numbers are exact")
	for query, state := range map[string]string{
		"at=2026-03-01T09:32:00Z":        `"state":{"status":"open"}`,
		"at=2026-03-01T09:31:59.999999Z": `"state":{"status":"new"}`,
		"version=3":                      `"state":{"status":"open"}`,
		"position=0":                     `"state":{"paid":{"by":"card"}},`,
	} {
		require.Contains(t, strings.ReplaceAll(string(a.get(t, path+"/state?"+query).body), `,"total":12345678901234567.1`, ""), state, query)
	}
	for _, query := range []string{"at=2026-03-01T09:30:59Z", "version=0", "version=5"} {
		a.get(t, path+"/state?"+query).refused(t, http.StatusNotFound, "not_found", "")
	}
	a.get(t, "/v1/aggregates/Order/none/state").refused(t, http.StatusNotFound, "not_found", "")
	a.get(t, path+"/state?version=1&position=2").refused(t, http.StatusBadRequest, "invalid_parameter", "at")
	a.get(t, path+"/state?version=-1").refused(t, http.StatusBadRequest, "invalid_parameter", "version")

	for _, query := range []string{"from=2&to=4", "from=2026-03-01T09:32:00Z&to=2026-03-01T09:34:00Z"} {
		var diff struct{ Changes []map[string]any }
		a.get(t, path+"/diff?"+query).decode(t, &diff)
		require.Equal(t, []map[string]any{
			{"op": "remove", "path": "/status", "eventId": id(3)},
			{"op": "add", "path": "/paid", "value": map[string]any{"by": "card"}, "eventId": id(3)},
			{"op": "add", "path": "/paid/at", "value": 1.0, "eventId": id(4)},
		}, diff.Changes, query)
	}
	for query, field := range map[string]string{
		"from=2": "to", "from=4&to=2": "to", "from=1&to=2026-03-01T09:32:00Z": "to", "from=x&to=1": "from", "from=1&to=02": "to",
	} {
		a.get(t, path+"/diff?"+query).refused(t, http.StatusBadRequest, "invalid_parameter", field)
	}
	a.get(t, path+"/diff?from=1&to=9").refused(t, http.StatusNotFound, "not_found", "")
	a.get(t, path+"/diff?from=2020-01-01T00:00:00Z&to=2021-01-01T00:00:00Z").refused(t, http.StatusNotFound, "not_found", "")
}

func TestTrace(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	by := func(cause string) string { return fmt.Sprintf(`{"correlationId":"w/1","causationId":%q}`, cause) }
	a.append(t, change(9, 1, `{}`, `{"correlationId":"other"}`))
	a.append(t, change(1, 1, `{}`, `{"correlationId":"w/1"}`), change(2, 1, `{}`, by(strings.ToUpper(id(1)))), change(3, 1, `{}`, by(id(2))),
		change(4, 1, `{}`, by(id(9))), change(5, 1, `{}`, by("command-\"7")), change(6, 1, `{}`, by(id(7))), change(7, 1, `{}`, by(id(6))))
	var trace struct {
		Events         int
		Roots, Orphans []node
		Cycles         [][]string
		Missing        []string
		Truncated      bool
	}
	got := a.get(t, "/v1/traces/w%2F1")
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	got.decode(t, &trace)
	require.Equal(t, 7, trace.Events)
	require.Equal(t, []string{id(1) + " null", id(2) + " 60000", id(3) + " 60000", id(6) + " -60000", id(7) + " 60000"}, flat(trace.Roots))
	require.Equal(t, []string{id(4) + " null", id(5) + " null"}, flat(trace.Orphans))
	require.Equal(t, [][]string{{id(6), id(7)}}, trace.Cycles)
	require.Equal(t, []string{`command-"7`}, trace.Missing, "a cause in another workflow is not missing")
	require.False(t, trace.Truncated)

	for kind, line := range map[string]string{"text/vnd.mermaid": "  n0 -->|60000 ms| n1\n", "text/vnd.graphviz": "  n0 -> n1 [label=\"60000 ms\"];\n"} {
		r := a.request(t, "/v1/traces/w%2F1")
		r.Header.Set("Accept", kind)
		got := a.send(t, r)
		require.Equal(t, kind, got.header.Get("Content-Type"))
		require.Contains(t, string(got.body), line)
	}
	a.get(t, "/v1/traces/none").refused(t, http.StatusNotFound, "not_found", "")
	a.get(t, "/v1/traces/none?x=1").refused(t, http.StatusBadRequest, "invalid_parameter", "x")
}

type node struct {
	Event    struct{ EventID string }
	AfterMs  *float64
	Children []node
}

// flat lists nodes with what they caused behind them.
func flat(nodes []node) []string {
	var out []string
	for _, n := range nodes {
		after := "null"
		if n.AfterMs != nil {
			after = fmt.Sprint(*n.AfterMs)
		}
		out = append(append(out, n.Event.EventID+" "+after), flat(n.Children)...)
	}
	return out
}
