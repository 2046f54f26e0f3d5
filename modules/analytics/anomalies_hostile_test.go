package analytics_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/analytics"
	"audittrail/modules/store"
)

// found runs the detectors over one hour, and returns what they found, by kind and subject.
func (f *fixture) found(t *testing.T, end time.Time, sensitivity string) func(roles ...string) map[string]anomaly {
	t.Helper()
	f.lookFrom(t, end.Add(-time.Hour))
	f.start(t, func(d *analytics.Dependencies) {
		d.Options = analytics.Options{Sensitivity: sensitivity}
		d.Now = func() time.Time { return end.Add(6 * time.Minute) }
	})
	require.Eventually(t, func() bool {
		var done bool
		return f.conn.QueryRow(t.Context(), `SELECT count(*) = 2 FROM analytics_cursors WHERE name = 'anomalies' AND position = $1
			OR name = 'versions' AND position = (SELECT max(first_position + count) FROM ledger_batches WHERE log = 'events')`, end.Unix()/3600).Scan(&done) == nil && done
	}, time.Minute, 20*time.Millisecond)
	return func(roles ...string) map[string]anomaly {
		var list struct{ Items []anomaly }
		f.get(t, "/v1/anomalies?limit=1000", roles...).decode(t, &list)
		by := map[string]anomaly{}
		for _, a := range list.Items {
			by[a.Kind+" "+a.Subject] = a
		}
		return by
	}
}

// The numbers of an anomaly come from more events than it names. A reader who may not see all of those must not see it:
// it says how many there are, and of which types.
func TestAnomaliesTellNothingOfHiddenEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	end := time.Now().UTC().Truncate(time.Hour)
	var values [][]byte
	add := func(kind, aggregate string, version int, at time.Time, user, source, flow string) {
		values = append(values, made(len(values), kind, aggregate, version, at, user, source, flow))
	}
	for week := range 6 {
		at := end.Add(-30*time.Minute).AddDate(0, 0, -7*week)
		for i := range 20 + 380*max(0, 1-week) {
			add("OrderSeen", fmt.Sprint("seen-", week, "-", i), 1, at, "", "shop", "")
			source := "shop"
			if week > 0 {
				source = "hidden"
			}
			add("OrderOther", fmt.Sprint("other-", week, "-", i), 1, at, "", source, "")
		}
	}
	for day := 1; day <= 10; day++ {
		for i := range 6 {
			add("Secret", fmt.Sprint("x-", day, "-", i), 1, end.Add(-30*time.Minute).AddDate(0, 0, -day), "eve", "hidden", "")
		}
	}
	for i := range 90 { // what she does now is visible, how often she did something before is not
		add("OrderViewed", fmt.Sprint("much-", i), 1, end.Add(-30*time.Minute), "eve", "shop", "")
	}
	for i := range 100 {
		at := end.AddDate(0, 0, -2).Add(time.Duration(i) * time.Minute)
		flow := fmt.Sprint("flow-", i)
		add("Secret", flow, 1, at, "", "hidden", flow)
		add("OrderPaid", flow, 2, at.Add(time.Second), "", "shop", flow)
	}
	at := end.AddDate(0, 0, -2)
	add("OrderPaid", "bad", 1, at, "", "shop", "bad") // without a hidden one
	add("Secret", "half", 1, at, "", "hidden", "")
	add("OrderPaid", "half", 3, at.Add(time.Minute), "", "shop", "")
	add("OrderPaid", "seen", 1, at, "", "shop", "")
	add("OrderPaid", "seen", 3, at.Add(time.Minute), "", "shop", "")
	f.appendAll(t, values)

	read := f.found(t, end, "medium")
	all, scoped := read(), read("orders-only")
	visible := []string{"rate type OrderSeen", "version_gap Order seen"}
	for _, name := range append([]string{"rate type OrderOther", "rate source shop", "actor_volume user eve", "step_skipped workflow bad", "version_gap Order half"}, visible...) {
		require.Contains(t, all, name)
	}
	for _, name := range visible {
		require.Contains(t, scoped, name)
		delete(scoped, name)
	}
	for name, a := range scoped {
		require.Contains(t, []string{"rate source shop"}, name, "%+v", a) // whose own events are all visible
	}
}

// An aggregate whose events all have one version does not number them: that is no anomaly each time. One with many
// events is looked at as quickly as any other.
func TestAnAggregateThatDoesNotNumberItsEvents(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	end := time.Now().UTC().Truncate(time.Hour)
	var values [][]byte
	for i := range 1000 {
		at := end.AddDate(0, 0, -2).Add(time.Duration(i) * time.Second)
		values = append(values, made(2*i, "Ticked", "clock", 1, at, "", "shop", ""))
		version := i
		if i > 990 {
			version++
		}
		values = append(values, made(2*i+1, "Counted", "counter", version, at, "", "shop", ""))
	}
	f.appendAll(t, values)
	all := f.found(t, end, "medium")()
	require.Len(t, all, 1, "%v", all)
	require.Contains(t, all, "version_gap Order counter")
}

// Aggregates with more events than are read at once are looked at in parts. One that has more alone is passed by, and that
// is told.
func TestVersionsAreReadInParts(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var values [][]byte
	var types, ids []string
	at := time.Now().Add(-time.Hour)
	for i := range 20 {
		id := fmt.Sprint("a-", i)
		types, ids = append(types, "Order"), append(ids, id)
		for n := range 10 {
			version := n + 1
			if n == 9 {
				version++ // version 10 is missing
			}
			values = append(values, made(len(values), "Counted", id, version, at.Add(time.Duration(n)*time.Second), "", "shop", ""))
		}
	}
	for n := range 40 {
		values = append(values, made(len(values), "Counted", "large", n+1, at.Add(time.Duration(n)*time.Second), "", "shop", ""))
	}
	f.appendAll(t, values)
	session, leads, err := store.LeadAnalytics(t.Context(), openPool(t, f.url, "audittrail_analytics"))
	require.NoError(t, err)
	require.True(t, leads)
	defer session.Close(context.Background())
	odd, passed, err := session.OddVersions(t.Context(), append(types, "Order"), append(ids, "large"), 35)
	require.NoError(t, err)
	require.Len(t, odd, 20)
	require.Equal(t, 1, passed)
	odd, passed, err = session.OddVersions(t.Context(), append(types, "Order"), append(ids, "large"), 240)
	require.NoError(t, err)
	require.Len(t, odd, 20)
	require.Zero(t, passed)
	_, passed, err = session.OddVersions(t.Context(), slices.Repeat(types, 10), slices.Repeat(ids, 10), 1)
	require.NoError(t, err)
	require.Equal(t, 200, passed, "each has more alone, or there were too many statements")
}
