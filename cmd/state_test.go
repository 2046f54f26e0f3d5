package cmd

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"
)

// answering answers every request with this JSON, and notes what was asked.
func answering(t *testing.T, answer string) *[]string {
	t.Helper()
	asked := &[]string{}
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		*asked = append(*asked, r.URL.EscapedPath()+"?"+r.URL.RawQuery)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(answer))
	}))
	t.Cleanup(s.Close)
	t.Setenv("AUDITTRAIL_CLIENT_URL", s.URL)
	t.Setenv("AUDITTRAIL_CLIENT_TOKEN", "s3cret")
	return asked
}

func TestStatePrintsAnAggregate(t *testing.T) {
	const answer = `{"aggregateType":"Order","aggregateId":"o/1","version":4,"position":3,"asOf":"2026-03-01T09:34:00.000000Z",
		"state":{"n":9007199254740993.10},"events":4,"versions":{"gaps":[],"repeats":[],"disorder":[],"counts":{"gaps":1,"repeats":0,"disorder":0}}}`
	asked := answering(t, answer)
	out, errs, status := call(t, "state", "Order", "o/1", "--version", "4")
	require.Equal(t, 0, status, errs)
	require.Equal(t, "Order o/1: version 4, as of 2026-03-01T09:34:00.000000Z, 4 events, position 3\n"+
		"versions: 1 gaps, 0 repeats, 0 out of order\n{\n  \"n\": 9007199254740993.10\n}\n", out)
	out, errs, status = call(t, "state", "Order", "o/1", "--at", "2026-03-01T00:00:00Z", "--output", "json")
	require.Equal(t, 0, status, errs)
	require.True(t, json.Valid([]byte(out)))
	require.JSONEq(t, answer, out)
	require.Equal(t, []string{"/v1/aggregates/Order/o%2F1/state?version=4", "/v1/aggregates/Order/o%2F1/state?at=2026-03-01T00%3A00%3A00.000000Z"}, *asked)
}

func TestStatePrintsChanges(t *testing.T) {
	asked := answering(t, `{"from":1,"to":3,"changes":[{"op":"add","path":"/a","value":1,"eventId":"e-1"},{"op":"remove","path":"/b","eventId":"e-2"}],
		"versions":{"gaps":[],"repeats":[],"disorder":[],"counts":{"gaps":0,"repeats":0,"disorder":0}}}`)
	out, errs, status := call(t, "state", "Order", "1", "--diff", "1..3")
	require.Equal(t, 0, status, errs)
	require.Equal(t, "+ /a = 1  (event e-1)\n- /b  (event e-2)\n", out)
	require.Equal(t, []string{"/v1/aggregates/Order/1/diff?from=1&to=3"}, *asked)
}

func TestWrongUseOfState(t *testing.T) {
	asked := answering(t, `{}`)
	for _, args := range [][]string{{"Order"}, {"Order", ""}, {"Order", "1", "--at", "x"}, {"Order", "1", "--version", "-1"},
		{"Order", "1", "--diff", "1"}, {"Order", "1", "--diff", "1.."}, {"Order", "1", "--at", "1h", "--version", "1"}} {
		_, errs, status := call(t, append([]string{"state"}, args...)...)
		require.Equal(t, 2, status, errs)
	}
	require.Empty(t, *asked)
}

func TestTraceDrawsATree(t *testing.T) {
	asked := answering(t, `{"correlationId":"w","events":2,"roots":[{"event":{"eventId":"e-1","eventType":"A","aggregateType":"T","aggregateId":"1","timestamp":"t"},"afterMs":null,
		"children":[{"event":{"eventId":"e-2","eventType":"B\u001b[2J","aggregateType":"T","aggregateId":"2","timestamp":"t"},"afterMs":1.5,"children":[]}]}],
		"orphans":[],"cycles":[],"missing":["x"],"truncated":false}`)
	out, errs, status := call(t, "trace", "w/1")
	require.Equal(t, 0, status, errs)
	require.Equal(t, "w: 2 events\n└─ A  T 1  t  e-1\n   └─ B\\x1b[2J  T 2  after 1.5 ms  e-2\nmissing: no event has the id x\n", out)
	require.Equal(t, []string{"/v1/traces/w%2F1?"}, *asked)
}
