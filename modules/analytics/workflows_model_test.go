package analytics_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// happened is an event as the model has it.
type happened struct {
	flow, about, aggregate, kind, source string
	at                                   time.Time
}

// key is the event's case.
func (h happened) key() string {
	if h.flow != "" {
		return "flow " + h.flow
	}
	return fmt.Sprintf("%q %q", h.about, h.aggregate)
}

func (h happened) value(n int) []byte {
	metadata := map[string]any{"source": h.source}
	if h.flow != "" {
		metadata["correlationId"] = h.flow
	}
	value, _ := json.Marshal(map[string]any{"eventId": fmt.Sprintf("0190d3f1-7c3a-7b1e-8a00-%012x", n), "eventType": h.kind, "aggregateType": h.about, "aggregateId": h.aggregate,
		"timestamp": h.at.Format(time.RFC3339Nano), "version": n, "payload": n, "metadata": metadata})
	return value
}

func flowTypes() []string { return []string{"OrderPlaced", "OrderPaid", "OrderShipped", "Checked"} }

// eventful are events of workflows that take up to a year, in the order of their arrival, which is not that of their
// times. Many have the same time. Some workflows have no correlation id, and some one that is another's aggregate. Ids grow
// with the time of the first event.
func eventful(rng *rand.Rand, flows int) (all []happened) {
	begin := time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC)
	gaps := []time.Duration{0, 0, time.Hour, 20 * time.Hour, 9 * 24 * time.Hour, 40 * 24 * time.Hour, 100 * 24 * time.Hour}
	id := func(n int) string { return fmt.Sprintf("%05d", n) }
	for n := range flows {
		at := begin.AddDate(0, 0, n*330/flows)
		for range 1 + rng.IntN(7) {
			e := happened{about: []string{"Order", "Prüfung"}[rng.IntN(2)], aggregate: id(n), kind: flowTypes()[rng.IntN(len(flowTypes()))], source: []string{"shop", "web"}[rng.IntN(2)], at: at}
			switch n % 3 {
			case 0:
				e.flow = id(n)
			case 1:
				e.flow = []string{"", id(n - 1)}[rng.IntN(2)]
			}
			if all = append(all, e); len(all)%5 != 0 {
				at = at.Add(gaps[rng.IntN(len(gaps))])
			}
		}
	}
	all = slices.DeleteFunc(all, func(e happened) bool { return e.at.After(time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)) })
	rng.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	return all
}

// casesOf are the events by case, in the order of time and then of arrival.
func casesOf(all []happened) (cases [][]happened) {
	by := map[string]int{}
	for _, e := range all {
		n, known := by[e.key()]
		if !known {
			n = len(cases)
			by[e.key()], cases = n, append(cases, nil)
		}
		cases[n] = append(cases[n], e)
	}
	for _, c := range cases {
		slices.SortStableFunc(c, func(a, b happened) int { return a.at.Compare(b.at) })
	}
	return cases
}

// stepsOf counts by looking behind each event for what follows it.
func stepsOf(cases [][]happened, from, to string, in func(time.Time) bool) (count, open int64, total time.Duration) {
	for _, c := range cases {
		for i, e := range c {
			if e.kind != from || !in(e.at) {
				continue
			}
			next := slices.IndexFunc(c[i+1:], func(e happened) bool { return e.kind == to || e.kind == from && in(e.at) })
			if next < 0 || c[i+1+next].kind != to {
				open++
				continue
			}
			count++
			total += c[i+1+next].at.Sub(e.at)
		}
	}
	return count, open, total
}

func funnelOf(cases [][]happened, steps []string, in func(time.Time) bool) []int64 {
	counts := make([]int64, len(steps))
	for _, c := range cases {
		for i, kind := range steps {
			at := slices.IndexFunc(c, func(e happened) bool { return e.kind == kind && (i > 0 || in(e.at)) })
			if at < 0 {
				break
			}
			counts[i]++
			c = c[at+1:]
		}
	}
	return counts
}

// Steps and funnels of any time agree with counts of all events, however long a workflow takes, and in whatever order its
// events came.
func TestStepsAndFunnelsOfManyMonthsAreThoseOfAllEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	all := eventful(rand.New(rand.NewPCG(1, 2)), 4000) // more are open in some months than one statement looks up
	values := make([][]byte, len(all))
	for i, e := range all {
		values[i] = e.value(i + 1)
	}
	f.appendAll(t, values)
	_, err := f.conn.Exec(t.Context(), "ANALYZE events")
	require.NoError(t, err)
	scoped := slices.DeleteFunc(slices.Clone(all), func(e happened) bool { return !strings.HasPrefix(e.kind, "Order") || e.source != "shop" })
	seen := map[string][][]happened{"admin": casesOf(all), "orders-only": casesOf(scoped)}
	rapid.Check(t, func(r *rapid.T) {
		since := time.Date(2025, 11, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, rapid.IntRange(0, 350).Draw(r, "since"))
		until := since.AddDate(0, 0, rapid.IntRange(1, 200).Draw(r, "days"))
		role := rapid.SampledFrom([]string{"admin", "orders-only"}).Draw(r, "role")
		kinds := rapid.Permutation(flowTypes()).Draw(r, "types")
		query := url.Values{"since": {since.Format(time.RFC3339)}, "until": {until.Format(time.RFC3339)}}
		in := func(at time.Time) bool { return !at.Before(since) && at.Before(until) }

		from, to := kinds[0], kinds[rapid.SampledFrom([]int{0, 1, 1, 1}).Draw(r, "to")]
		var step struct {
			Count, Open int64
			MeanSeconds float64
		}
		f.get(t, "/v1/stats/steps?from="+from+"&to="+to+"&"+query.Encode(), role).decode(t, &step)
		count, open, total := stepsOf(seen[role], from, to, in)
		require.Equal(r, []int64{count, open}, []int64{step.Count, step.Open})
		require.InDelta(r, total.Seconds(), step.MeanSeconds*float64(count), 1)

		query["step"] = rapid.SliceOfN(rapid.SampledFrom(kinds), 2, 4).Draw(r, "steps")
		var funnel struct{ Steps []struct{ Count int64 } }
		f.get(t, "/v1/stats/funnel?"+query.Encode(), role).decode(t, &funnel)
		counts := []int64{}
		for _, s := range funnel.Steps {
			counts = append(counts, s.Count)
		}
		require.Equal(r, funnelOf(seen[role], query["step"], in), counts)
	})
}
