package cmd

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const silentSource = `{"id":"9f2c","kind":"silent_source","subject":"source pay\u001b[2Jments","detail":"no event in this hour","startedAt":"2026-03-01T09:00:00.000000Z",
	"detectedAt":"2026-03-01T10:05:02.000000Z","observed":0,"expected":47,"distance":-6.9,"state":"%s","decidedAt":null,"decidedBy":null,"reason":null,
	"evidence":{"events":[{"eventId":"e1","eventType":"OrderPaid","aggregateType":"Order","aggregateId":"o-1","source":null,"timestamp":"2026-02-22T09:31:10.250000Z"}],"access":[7],"deadLetters":["3"]}}`

func TestAnomaliesAreListed(t *testing.T) {
	asked := answering(t, `{"items":[`+strings.Replace(silentSource, "%s", "open", 1)+`],"nextCursor":null}`)
	out, errs, status := call(t, "anomalies", "list", "--kind", "silent_source", "--limit", "5", "--from", "2026-03-01T00:00:00Z")
	require.Equal(t, 0, status, errs)
	require.Contains(t, out, "9f2c")
	require.Contains(t, out, "no event in this hour")
	require.NotContains(t, out, "\x1b")
	_, errs, status = call(t, "anomalies", "list", "--state", "any", "--output", "json")
	require.Equal(t, 0, status, errs)
	require.Equal(t, []string{"/v1/anomalies?from=2026-03-01T00%3A00%3A00.000000Z&kind=silent_source&limit=5&state=open", "/v1/anomalies?limit=50"}, *asked)
}

func TestAnAnomalyIsShownAndDecided(t *testing.T) {
	asked := answering(t, strings.Replace(strings.Replace(silentSource, "%s", "resolved", 1),
		`"decidedAt":null,"decidedBy":null,"reason":null`, `"decidedAt":"2026-03-02T00:00:00.000000Z","decidedBy":"ann","reason":"an outage"`, 1))
	want := "silent_source: source pay\\x1b[2Jments\nno event in this hour\n" +
		"since 2026-03-01T09:00:00.000000Z, found 2026-03-01T10:05:02.000000Z, distance from what was expected -6.9\n" +
		"resolved by ann, 2026-03-02T00:00:00.000000Z: an outage\n" +
		"  2026-02-22T09:31:10.250000Z  OrderPaid  Order o-1  event e1\n  access entry 7\n  dead letter 3\n"
	for _, args := range [][]string{{"show", "9f2c"}, {"acknowledge", "9f2c", "--why", "asked"}, {"resolve", "9f2c", "--why", "an outage"}} {
		out, errs, status := call(t, append([]string{"anomalies"}, args...)...)
		require.Equal(t, 0, status, errs)
		require.Equal(t, want, out)
	}
	require.Equal(t, []string{"/v1/anomalies/9f2c?", "/v1/anomalies/9f2c/acknowledge?", "/v1/anomalies/9f2c/resolve?"}, *asked)
	_, errs, status := call(t, "anomalies", "resolve", "9f2c")
	require.Equal(t, 2, status)
	require.Contains(t, errs, "--why must say why")
}
