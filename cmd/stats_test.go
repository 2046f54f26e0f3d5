package cmd

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestStatsDrawsGroups(t *testing.T) {
	const answer = `{"interval":"day","items":[
		{"start":"2026-03-01T00:00:00.000000Z","group":{"eventType":"OrderPlaced"},"count":100},
		{"start":"2026-03-01T00:00:00.000000Z","group":{"eventType":null},"count":3},
		{"start":"2026-03-03T00:00:00.000000Z","group":{"eventType":"OrderPlaced"},"count":50},
		{"start":"2026-03-03T00:00:00.000000Z","group":{},"other":true,"count":7}],"position":159,"head":161,"scanned":false}`
	asked := answering(t, answer)
	out, errs, status := call(t, "stats", "--group-by", "eventType", "--top", "1", "--tz", "Europe/Berlin", "--event-type", "a", "--event-type", "b", "--from", "2026-03-01T00:00:00Z", "--distinct")
	require.Equal(t, 0, status, errs)
	require.Equal(t, "160 events, 2026-03-01 00:00 to 2026-03-03 00:00 by day (2 events are not counted yet)\n█ ▅\n"+
		"eventType    count                        over time\nOrderPlaced  150    ████████████████████  █ ▄\n(others)     7      ▉                       █\n(none)       3      ▍                     █\n", out)
	out, errs, status = call(t, "stats", "--output", "json")
	require.Equal(t, 0, status, errs)
	require.True(t, json.Valid([]byte(out)))
	require.Equal(t, []string{
		"/v1/stats/events?distinct=true&eventType=a&eventType=b&from=2026-03-01T00%3A00%3A00.000000Z&groupBy=eventType&interval=day&top=1&tz=Europe%2FBerlin",
		"/v1/stats/events?interval=day&top=20",
	}, *asked)
}

func TestStatsOfNothing(t *testing.T) {
	answering(t, `{"interval":"day","items":[],"position":-1,"head":0,"scanned":false}`)
	out, errs, status := call(t, "stats")
	require.Equal(t, 0, status, errs)
	require.Equal(t, "no events (1 event is not counted yet)\n", out)
}

func TestWrongUseOfStats(t *testing.T) {
	asked := answering(t, `{}`)
	for _, args := range [][]string{{"x"}, {"--from", "yesterday"}, {"--source", ""}, {"--output", "xml"}, {"--top", "many"}} {
		_, errs, status := call(t, append([]string{"stats"}, args...)...)
		require.Equal(t, 2, status, errs)
	}
	require.Empty(t, *asked)
}
