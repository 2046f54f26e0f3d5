package analytics_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// shifts are moments at which the clocks of a zone changed, by an hour but for one whole day of Apia, and a minute past
// midnight in Goose Bay.
func shifts() map[string][]string {
	return map[string][]string{
		"Europe/Berlin":     {"2025-03-30T01:00:00Z", "2025-10-26T01:00:00Z"},
		"Europe/London":     {"2025-03-30T01:00:00Z", "2025-10-26T01:00:00Z"},
		"America/New_York":  {"2025-03-09T07:00:00Z", "2025-11-02T06:00:00Z"},
		"America/Goose_Bay": {"2010-03-14T04:01:00Z", "2010-11-07T03:01:00Z"},
		"Pacific/Auckland":  {"2025-04-05T14:00:00Z", "2025-09-27T14:00:00Z"},
		"Pacific/Apia":      {"2011-12-30T10:00:00Z"},
		"Africa/Casablanca": {"2025-02-23T02:00:00Z", "2025-04-06T02:00:00Z"},
		"Africa/Cairo":      {"2025-04-24T22:00:00Z", "2025-10-30T21:00:00Z"},
		"Asia/Kolkata":      {"2025-03-31T18:30:00Z"}, // none: the end of a month
	}
}

// around makes events within days of these moments, and some in the minutes beside them.
func around(t testing.TB, n int) [][]byte {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, 0))
	moments := slices.Concat(slices.Collect(maps.Values(shifts()))...)
	slices.Sort(moments)
	all := make([][]byte, n)
	for i := range all {
		at, err := time.Parse(time.RFC3339, moments[i%len(moments)])
		require.NoError(t, err)
		within := 60 * time.Hour
		if i%3 == 0 {
			within = 90 * time.Minute
		}
		at = at.Add(time.Duration(rng.Int64N(2*int64(within))) - within)
		metadata := map[string]any{"userId": fmt.Sprint("u-", rng.IntN(9))}
		if rng.IntN(4) > 0 {
			metadata["source"] = []string{"shop", "shed"}[rng.IntN(2)]
		}
		all[i], err = json.Marshal(map[string]any{
			"eventId": fmt.Sprintf("0190d3f1-7c3a-7b1e-8000-%012x", i), "eventType": []string{"OrderPlaced", "OrderPaid", "Stock"}[rng.IntN(3)],
			"aggregateType": []string{"Order", "Item"}[rng.IntN(2)], "aggregateId": "a", "timestamp": at.Format(time.RFC3339Nano), "version": 1, "payload": i, "metadata": metadata,
		})
		require.NoError(t, err)
	}
	return all
}

// drawQuestion makes a question about a zone, for which no events are counted one by one.
func drawQuestion(t *rapid.T) question {
	zones := slices.Sorted(maps.Keys(shifts()))
	q := question{tz: rapid.SampledFrom(zones).Draw(t, "tz"), interval: rapid.SampledFrom([]string{"hour", "day", "week", "month"}).Draw(t, "interval"), filter: map[string]string{}}
	moment := func(name string) string {
		base, err := time.Parse(time.RFC3339, rapid.SampledFrom(slices.Sorted(slices.Values(slices.Concat(slices.Collect(maps.Values(shifts()))...)))).Draw(t, name))
		require.NoError(t, err)
		unit := rapid.SampledFrom([]time.Duration{24 * time.Hour, time.Hour, time.Minute, time.Second}).Draw(t, name+" unit")
		return base.Add(time.Duration(rapid.IntRange(-72, 72).Draw(t, name+" away")) * time.Hour).Truncate(unit).Format(time.RFC3339)
	}
	if rapid.Bool().Draw(t, "from?") {
		q.from = moment("from")
	}
	if rapid.Bool().Draw(t, "to?") {
		q.to = moment("to")
	}
	if q.from != "" && q.to != "" && q.from >= q.to {
		q.from, q.to = q.to, ""
	}
	fields := []string{"eventType", "aggregateType", "source"}
	who := []string{"all", "scoped", "user", "users"}
	if q.tz == "Asia/Kolkata" || q.tz == "America/Goose_Bay" { // off by minutes, of which users have no counts
		who = who[:2]
	}
	switch rapid.SampledFrom(who).Draw(t, "who") {
	case "scoped":
		q.roles, q.scope = []string{"orders-only"}, `event_type LIKE 'Order%' AND metadata ->> 'source' LIKE 'sho_'`
	case "user":
		fields, q.filter["userId"] = fields[:1], "u-3"
	case "users":
		fields, q.groupBy = fields[:1], []string{"userId"}
	}
	q.groupBy = append(q.groupBy, rapid.SliceOfNDistinct(rapid.SampledFrom(fields), 0, len(fields), rapid.ID[string]).Draw(t, "groupBy")...)
	if rapid.IntRange(0, 3).Draw(t, "type?") == 0 {
		q.filter["eventType"] = "OrderPaid"
	}
	return q
}

// The days of a zone are counted from days of UTC, and hours that correct them.
func TestCountsOfZonesAreThoseOfPlainSQL(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.start(t)
	f.appendAll(t, around(t, 4000))
	f.caughtUp(t)
	for zone := range shifts() {
		for _, interval := range []string{"day", "week", "month"} {
			question{tz: zone, interval: interval}.check(t, f)
		}
	}
	rapid.Check(t, func(r *rapid.T) {
		q := drawQuestion(r)
		want := q.plain(t, f.conn)
		got := first(q.asked(t, f))
		if !maps.Equal(want, got) {
			r.Fatalf("%s\nwant %v\ngot  %v", q.path(), want, got)
		}
		if len(q.groupBy) == 0 {
			return
		}
		top := rapid.IntRange(1, 6).Draw(r, "top")
		wantTop, gotTop := topOf(want, top), first(q.askedTop(t, f, top))
		if !maps.Equal(wantTop, gotTop) {
			r.Fatalf("top %d of %s\nwant %v\ngot  %v", top, q.path(), wantTop, gotTop)
		}
	})
}

// topOf counts all groups but the largest ones together, as "other".
func topOf(counts map[string]int64, top int) map[string]int64 {
	totals := map[string]int64{}
	for key, n := range counts {
		_, group, _ := strings.Cut(key, "|")
		totals[group] += n
	}
	last := func(group string) string { return strings.ReplaceAll(group, "<none>", "~") } // no source comes last
	groups := slices.SortedFunc(maps.Keys(totals), func(a, b string) int {
		return cmp.Or(cmp.Compare(totals[b], totals[a]), cmp.Compare(last(a), last(b)))
	})
	shown := map[string]int64{}
	for key, n := range counts {
		start, group, _ := strings.Cut(key, "|")
		if slices.Index(groups, group) >= top {
			key = start + "|other"
		}
		shown[key] += n
	}
	return shown
}

func first(counts map[string]int64, _ stats) map[string]int64 { return counts }
