package analytics

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
)

// found are the kinds and subjects of findings.
func found(all []store.Anomaly) []string {
	var out []string
	for _, a := range all {
		out = append(out, a.Kind+" "+a.Subject)
	}
	slices.Sort(out)
	return out
}

// A type is unusual for who never did it if their peers don't do it, whatever others do.
func TestActorTypesAreComparedWithPeers(t *testing.T) {
	hour := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	var points []store.Point
	days := func(user string, kinds ...string) {
		for day := 1; day <= 10; day++ {
			for _, kind := range kinds {
				points = append(points, store.Point{Series: user, Kind: kind, Hour: hour.AddDate(0, 0, -day), Count: 4})
			}
		}
	}
	for i := range 8 {
		days(fmt.Sprint("clerk-", i), "Approved", "Rejected")
		days(fmt.Sprint("agent-", i), "Refunded", "Called")
		if i < 4 {
			days(fmt.Sprint("buyer-", i), "Approved", "Ordered")
		} else {
			days(fmt.Sprint("buyer-", i), "Ordered")
		}
	}
	for _, now := range []struct{ user, kind string }{
		{"clerk-1", "Refunded"}, // what only agents do
		{"clerk-2", "Approved"}, // as ever
		{"clerk-3", "Shredded"}, // what nobody did: a new release
		{"buyer-5", "Approved"}, // what half of the peers do
		{"agent-4", "Rejected"},
		{"new", "Refunded"},     // nobody knows them yet
		{"agent-7", "Rejected"}, // a clerk who refunded once is no agent
	} {
		points = append(points, store.Point{Series: now.user, Kind: now.kind, Hour: hour, Count: 1})
	}
	points = append(points, store.Point{Series: "clerk-7", Kind: "Refunded", Hour: hour.AddDate(0, 0, -1), Count: 1})
	require.Equal(t, []string{"actor_type user agent-4, type Rejected", "actor_type user agent-7, type Rejected", "actor_type user clerk-1, type Refunded"}, found(actors(hour, points, 6)))
}

// An hour is compared with the same hour of other weeks; batches that come on other days of the week are none.
func TestRatesOfBatches(t *testing.T) {
	hour := time.Date(2026, 3, 2, 1, 0, 0, 0, time.UTC)
	var points, first []store.Point
	add := func(series string, at time.Time, n int64) {
		points = append(points, store.Point{Series: series, Hour: at, Count: n})
	}
	for _, series := range []string{"batch", "steady", "drop", "seldom", "often"} {
		first = append(first, store.Point{Series: series, Hour: hour.AddDate(0, 0, -100)})
	}
	for week := 1; week <= 8; week++ {
		add("steady", hour.AddDate(0, 0, -7*week), 50)
		add("drop", hour.AddDate(0, 0, -7*week), 200)
	}
	for day := 1; day <= 28; day++ {
		if day%7 != 0 {
			add("steady", hour.AddDate(0, 0, -day), 60)
		}
	}
	add("batch", hour.AddDate(0, 0, -3).Add(time.Hour), 900) // on a Friday, an hour later
	add("batch", hour, 1000)
	add("steady", hour, 150)
	for week := 1; week <= 8; week++ { // one week much, one week nothing
		add("seldom", hour.AddDate(0, 0, -7*week), 100*int64(week%2))
		add("often", hour.AddDate(0, 0, -7*week), 100*int64(week%2))
	}
	add("seldom", hour, 310)
	add("often", hour, 290)
	require.Equal(t, []string{"rate type drop", "rate type seldom", "rate type steady"}, found(rates("type", hour, points, first, 6)))
	add("batch", hour, 1000)
	require.Equal(t, []string{"rate type batch", "rate type drop", "rate type seldom", "rate type steady"}, found(rates("type", hour, points, first, 6)))
}

// What is far from its season once a week, at whatever time, has no season: one more such batch is nothing. What was so three
// times is not excused by that, and neither is a batch of far more than any other.
func TestBatchesOfSeriesWithoutASeason(t *testing.T) {
	hour := time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC)
	batched := func(days int, now int64) bool {
		points, first := []store.Point{{Series: "x", Hour: hour, Count: now}}, []store.Point{{Series: "x", Hour: hour.AddDate(0, 0, -100)}}
		for i := range days {
			points = append(points, store.Point{Series: "x", Hour: hour.AddDate(0, 0, -3-5*i).Add(-time.Duration(2*i) * time.Hour), Count: 100 + int64(i)})
		}
		c := hourlyOf(points, first)
		return c.batched("x", hour, 6)
	}
	require.True(t, batched(4, 150))
	require.False(t, batched(3, 150))
	require.False(t, batched(4, 500))
}

// Series that come in batches take no place of those that don't, however far off they are.
func TestBatchesPushNoFindingOut(t *testing.T) {
	hour := time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC)
	find := func(batches int) ([]string, int) {
		var points, first []store.Point
		add := func(name string, now int64, days int) {
			first = append(first, store.Point{Series: name, Hour: hour.AddDate(0, 0, -100)})
			points = append(points, store.Point{Series: name, Hour: hour, Count: now})
			for i := range days {
				points = append(points, store.Point{Series: name, Hour: hour.AddDate(0, 0, -3-5*i).Add(time.Duration(-2*i-2) * time.Hour), Count: 1000})
			}
		}
		for i := range batches {
			add(fmt.Sprint("batch-", i), 1000, 4)
		}
		add("real", 500, 0)
		s := series{
			what:   "type",
			points: func(context.Context, []time.Time) ([]store.Point, error) { return points, nil },
			first:  func(context.Context, time.Time, []string) ([]store.Point, error) { return first, nil },
			hours: func(_ context.Context, _ []time.Time, names []string) ([]store.Point, error) {
				require.LessOrEqual(t, len(names), maxFindings)
				return slices.DeleteFunc(slices.Clone(points), func(p store.Point) bool { return !slices.Contains(names, p.Series) }), nil
			},
		}
		odd, passed, err := s.rates(t.Context(), hour, 6)
		require.NoError(t, err)
		return found(odd), passed
	}
	odd, passed := find(2*maxFindings + 1)
	require.Equal(t, []string{"rate type real"}, odd)
	require.Zero(t, passed)
	odd, passed = find(maxSuspects + 2)
	require.Empty(t, odd)
	require.Equal(t, 3, passed, "what was not looked at is told")
}

// Nothing is read of a series but what its reader may see all of.
func TestWhatRatesAreComparedWith(t *testing.T) {
	for _, hour := range []time.Time{time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), time.Date(2026, 3, 2, 23, 0, 0, 0, time.UTC)} {
		all, days := rateHours(hour), rateDays(hour)
		require.Subset(t, all, firstHours(hour))
		for _, h := range append(seasonHours(hour.AddDate(0, 0, -recentDays)), all...) { // the seasons of all recent days
			require.Contains(t, all, h)
			require.Contains(t, days, h.Truncate(24*time.Hour))
		}
	}
}

// Who exported much on some days of a month has no habit of it yet. Who does it each week has.
func TestReadersWithAHabit(t *testing.T) {
	hour := time.Date(2026, 3, 2, 13, 0, 0, 0, time.UTC)
	find := func(days int) []string {
		points := []store.Point{{Series: "ann", Kind: "export", Hour: hour, Count: 300_000}}
		for i := 1; i <= 28; i++ {
			points = append(points, store.Point{Series: "bob", Kind: "export", Hour: hour.AddDate(0, 0, -i), Count: 1000})
			if i <= days {
				points = append(points, store.Point{Series: "ann", Kind: "export", Hour: hour.AddDate(0, 0, -i), Count: 250_000})
			}
		}
		return found(readers(hour, points, 6))
	}
	require.Equal(t, []string{"mass_export principal ann"}, find(6))
	require.Empty(t, find(7))
}

// workflow adds a workflow's events, a minute apart, to others.
func workflow(all []store.FlowEvent, id string, at time.Time, kinds ...string) []store.FlowEvent {
	for i, kind := range kinds {
		all = append(all, store.FlowEvent{Flow: id, At: at.Add(time.Duration(i) * time.Minute), Event: store.EvidenceEvent{EventType: kind}})
	}
	return all
}

// A workflow that has ended in another way than most waits for nothing, and one that has time left is not late.
func TestFollowUpsOfWorkflowsThatEndOtherwise(t *testing.T) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	begin := now.AddDate(0, 0, -10)
	var events []store.FlowEvent
	for i := range 2000 {
		events = workflow(events, fmt.Sprintf("a-%04d", i), begin.Add(time.Duration(i)*time.Minute), "Ordered", "Paid", "Shipped")
	}
	for i := range 40 { // 2 of 100
		events = workflow(events, fmt.Sprintf("b-%04d", i), begin.Add(time.Duration(i)*time.Minute), "Ordered", "Declined", "Cancelled")
	}
	for i := range 200 { // most of those that are cancelled go on
		events = workflow(events, fmt.Sprintf("j-%04d", i), begin.Add(time.Duration(i)*time.Minute), "Ordered", "Paid", "Cancelled", "Voided", "Shipped")
	}
	events = workflow(events, "c", begin, "Ordered", "Paid")
	events = workflow(events, "d", now.Add(-2*time.Minute), "Ordered", "Paid")
	events = workflow(events, "e", begin, "Ordered", "Declined")
	events = workflow(events, "f", begin, "Ordered", "Shipped")
	events = workflow(events, "g", begin, "Ordered", "Shipped", "Paid")
	events = workflow(events, "h", begin.AddDate(0, 0, -1), "Shipped") // began before the time that is judged
	for i := range 300 {                                               // many that wait do not hide the rule
		events = workflow(events, fmt.Sprintf("i-%04d", i), now.Add(-time.Minute), "Ordered")
	}
	require.Equal(t, []string{"followup_missing workflow c", "followup_missing workflow e", "step_reversed workflow g", "step_skipped workflow f"},
		found(workflows(events, begin, now)))
}

// 4,000 workflows of 20 steps are judged in well under the minute in which the next look is due.
func BenchmarkWorkflows(b *testing.B) {
	now := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	kinds := make([]string, 20)
	for i := range kinds {
		kinds[i] = fmt.Sprint("step-", i)
	}
	var events []store.FlowEvent
	for i := range 4000 {
		events = workflow(events, fmt.Sprintf("%05d", i), now.AddDate(0, 0, -5), kinds[:15+i%6]...)
	}
	for b.Loop() {
		workflows(events, now.AddDate(0, 0, -10), now)
	}
}

// Producers choose the names of types. Workflows of very many take no memory that grows with the square of them.
func TestWorkflowsOfVeryManyTypes(t *testing.T) {
	var events []store.FlowEvent
	var kinds []string
	for i := range 500 {
		kinds = append(kinds, fmt.Sprint("Type", i))
	}
	for i := range 60 {
		events = workflow(events, fmt.Sprint("flow-", i), time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), kinds...)
	}
	rules := 0
	for _, r := range learn(flowsOf(events), time.Date(2026, 3, 3, 10, 0, 0, 0, time.UTC)) {
		require.True(t, r.precedes || r.follows)
		rules++
	}
	require.Equal(t, maxRuleTypes*(maxRuleTypes-1)/2, rules)
}
