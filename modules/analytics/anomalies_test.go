package analytics_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/modules/analytics"
)

type anomaly struct {
	ID, Kind, Subject, Detail, State string
	Observed, Expected, Distance     float64
	DecidedBy, Reason                *string
	Evidence                         struct {
		Events []struct {
			EventID, EventType string
		}
		Access      []int64
		DeadLetters []string
	}
}

// made is an event.
func made(n int, kind, aggregate string, version int, at time.Time, user, source, flow string) []byte {
	metadata := map[string]any{"source": source}
	if user != "" {
		metadata["userId"] = user
	}
	if flow != "" {
		metadata["correlationId"] = flow
	}
	value, _ := json.Marshal(map[string]any{"eventId": fmt.Sprintf("0190d3f1-7c3a-7b1e-8a00-%012x", n), "eventType": kind, "aggregateType": "Order", "aggregateId": aggregate,
		"timestamp": at.Format(time.RFC3339Nano), "version": version, "payload": n, "metadata": metadata})
	return value
}

// history is six weeks of two sources, a known user, and complete workflows, until an hour is over; then what the test adds.
func history(end time.Time) (all [][]byte) {
	n := 0
	add := func(kind, aggregate string, version int, at time.Time, user, source, flow string) {
		n++
		all = append(all, made(n, kind, aggregate, version, at, user, source, flow))
	}
	for week := 1; week <= 6; week++ {
		hour := end.Add(-time.Hour).AddDate(0, 0, -7*week)
		for i := range 40 + week%3 {
			at := hour.Add(time.Duration(i) * time.Minute)
			add("Placed", fmt.Sprint("w", week, "-", i), 1, at, "", "shop", "")
			add("Scanned", fmt.Sprint("s", week, "-", i), 1, at, "", "scanner", "")
		}
	}
	for day := 1; day <= 20; day++ { // at the hour's own time of day
		for i := range 6 {
			add("Viewed", fmt.Sprint("v", day, "-", i), 1, end.Add(-30*time.Minute).AddDate(0, 0, -day).Add(time.Duration(i)*time.Second), "eve", "office", "")
		}
	}
	for day := 1; day <= 20; day++ { // staff: all look at things, one refunds, and ivan works at another time of day
		at := end.Add(-30*time.Minute).AddDate(0, 0, -day)
		for i := range 12 {
			add("Looked", fmt.Sprint("l", day, "-", i), 1, at, fmt.Sprint("staff-", i), "desk", "")
			add("Looked", fmt.Sprint("m", day, "-", i), 1, at, fmt.Sprint("staff-", i), "desk", "")
		}
		add("Refunded", fmt.Sprint("r", day), 1, at, "staff-0", "desk", "")
		for i := range 6 {
			add("Looked", fmt.Sprint("i", day, "-", i), 1, at.Add(8*time.Hour), "ivan", "desk", "")
		}
	}
	for i := range 400 { // each a minute apart, on the days before
		at := end.AddDate(0, 0, -3).Add(time.Duration(i) * time.Minute)
		flow := fmt.Sprint("flow-", i)
		add("Ordered", "o"+flow, 1, at, "", "shop2", flow)
		add("Paid", "o"+flow, 2, at.Add(time.Second), "", "shop2", flow)
		add("Shipped", "o"+flow, 3, at.Add(2*time.Second), "", "shop2", flow)
	}
	return all
}

// Each kind is found where it was made, names its evidence, and nothing else is found.
func TestAnomaliesOfEachKind(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	end := time.Now().UTC().Truncate(time.Hour)
	now := end.Add(6 * time.Minute)
	f.appendAll(t, history(end))
	hour := end.Add(-time.Hour)
	values, n := [][]byte{}, 100_000
	add := func(kind, aggregate string, version int, at time.Time, user, source, flow string) {
		n++
		values = append(values, made(n, kind, aggregate, version, at, user, source, flow))
	}
	for i := range 400 { // the rate of a type and its source; the scanner is silent
		add("Placed", fmt.Sprint("burst-", i), 1, hour.Add(time.Duration(i)*time.Second), "", "shop", "")
	}
	for i := range 90 { // a user who does far more
		add("Viewed", fmt.Sprint("much-", i), 1, hour.Add(time.Duration(i)*time.Second), "eve", "office", "")
	}
	add("Refunded", "odd-1", 1, hour.Add(time.Minute), "staff-5", "desk", "") // what only another one does
	add("Looked", "odd-2", 1, hour.Add(time.Minute), "ivan", "desk", "")      // at an hour at which he never works
	at := end.AddDate(0, 0, -2)
	add("Ordered", "bad-1", 1, at, "", "shop2", "bad-1")
	add("Shipped", "bad-1", 2, at.Add(time.Minute), "", "shop2", "bad-1") // without Paid
	add("Ordered", "bad-2", 1, at, "", "shop2", "bad-2")
	add("Shipped", "bad-2", 2, at.Add(time.Minute), "", "shop2", "bad-2")
	add("Paid", "bad-2", 3, at.Add(2*time.Minute), "", "shop2", "bad-2") // reversed
	add("Ordered", "bad-3", 1, at, "", "shop2", "bad-3")                 // no follow-up
	add("Ordered", "gap", 1, at, "", "shop2", "")
	add("Ordered", "gap", 4, at.Add(time.Minute), "", "shop2", "")
	add("Ordered", "gap", 4, at.Add(2*time.Minute), "", "shop2", "")
	f.appendAll(t, values)
	for i := range 30 { // dead letters: nonsense, and one id with another content
		f.append(t, []byte(fmt.Sprint("nonsense ", i)))
	}
	f.append(t, made(1, "Other", "x", 1, at, "", "shop", ""))
	_, err := f.conn.Exec(t.Context(), `SET session_replication_role = replica; ALTER TABLE dead_letters DISABLE TRIGGER ALL`)
	require.NoError(t, err)
	_, err = f.conn.Exec(t.Context(), `UPDATE dead_letters SET received_at = $1`, hour.Add(time.Minute))
	require.NoError(t, err)
	f.readMuch(t, hour)

	posted := make(chan map[string]any, 100)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var body map[string]any
		if json.NewDecoder(r.Body).Decode(&body) == nil {
			posted <- body
		}
	}))
	defer receiver.Close()
	f.lookFrom(t, end.Add(-time.Hour))
	registry := prometheus.NewRegistry()
	f.start(t, func(d *analytics.Dependencies) {
		d.Metrics, d.DetectEvery = registry, 100*time.Millisecond
		d.Options = analytics.Options{Sensitivity: "medium", WebhookURL: receiver.URL}
		d.Now = func() time.Time { return now }
	})
	var list struct{ Items []anomaly }
	read := func(path string, roles ...string) map[string]anomaly {
		f.get(t, path, roles...).decode(t, &list)
		by := map[string]anomaly{}
		for _, a := range list.Items {
			by[a.Kind+" "+a.Subject] = a
		}
		return by
	}
	want := []string{
		"rate type Placed", "rate source shop", "silent_source source scanner", "actor_volume user eve",
		"actor_type user staff-5, type Refunded", "actor_hours user ivan", "mass_export principal oscar",
		"step_skipped workflow bad-1", "step_reversed workflow bad-2", "followup_missing workflow bad-3",
		"version_gap Order gap", "version_repeat Order gap", "event_id_conflict topic orders", "dead_letter_burst topic orders", "mass_reading principal mallory",
	}
	require.Eventually(t, func() bool {
		by := read("/v1/anomalies?limit=1000")
		for _, w := range want {
			if by[w].ID == "" {
				return false
			}
		}
		return true
	}, time.Minute, 100*time.Millisecond, "%v", list.Items)
	by := read("/v1/anomalies?limit=1000")
	for _, w := range want {
		a := by[w]
		require.NotEmpty(t, a.Detail, w)
		require.NotZero(t, a.Distance, w)
		require.NotZero(t, len(a.Evidence.Events)+len(a.Evidence.Access)+len(a.Evidence.DeadLetters), w)
		delete(by, w)
	}
	for name := range by { // consequences of the above that are anomalies of their own
		require.Contains(t, []string{"rate type Scanned", "rate type Viewed", "rate source office", "followup_missing workflow bad-1", "rate type Ordered"}, name, "%v", by[name])
	}
	require.NotEmpty(t, <-posted)
	openOf := func(kind string) float64 {
		all, err := registry.Gather()
		require.NoError(t, err)
		for _, family := range all {
			for _, m := range family.GetMetric() {
				if family.GetName() == "audittrail_anomalies_open" && m.GetLabel()[0].GetValue() == kind {
					return m.GetGauge().GetValue()
				}
			}
		}
		return -1
	}
	require.Eventually(t, func() bool { return openOf("silent_source") == 1 && openOf("version_gap") == 1 }, time.Minute, 20*time.Millisecond)

	// Who may see what.
	all := read("/v1/anomalies?limit=1000", "analyst")
	require.NotContains(t, all, "mass_reading principal mallory", "the access log wants access:read")
	require.NotContains(t, all, "mass_export principal oscar", "the access log wants access:read")
	scoped := read("/v1/anomalies?limit=1000", "orders-only")
	require.Empty(t, scoped, "none has evidence that is of this scope alone")
	secret := read("/v1/anomalies?kind=mass_reading")["mass_reading principal mallory"]
	require.Equal(t, 404, f.get(t, "/v1/anomalies/"+secret.ID, "analyst").status)

	// Decisions.
	id := by2(read("/v1/anomalies?kind=silent_source"))
	decide := func(verb string, roles ...string) answer {
		return f.ask(t, http.MethodPost, "/v1/anomalies/"+id+"/"+verb, `{"reason":"maintenance"}`, "application/json", roles...)
	}
	require.Equal(t, 403, decide("acknowledge", "auditor").status)
	var got anomaly
	decide("acknowledge", "analyst").decode(t, &got)
	require.Equal(t, []string{"acknowledged", "ann", "maintenance"}, []string{got.State, *got.DecidedBy, *got.Reason})
	decide("resolve").decode(t, &got)
	require.Equal(t, "resolved", got.State)
	require.Eventually(t, func() bool { return openOf("silent_source") == 0 }, time.Minute, 20*time.Millisecond)
	decide("acknowledge").refused(t, 409, "anomaly_resolved", "")
	require.Equal(t, 400, f.ask(t, http.MethodPost, "/v1/anomalies/"+id+"/resolve", `{}`, "application/json").status)
	require.NotContains(t, read("/v1/anomalies?state=open&limit=1000"), "silent_source source scanner")
}

// lookFrom lets the detectors begin with an hour.
func (f *fixture) lookFrom(t *testing.T, hour time.Time) {
	t.Helper()
	_, err := f.conn.Exec(t.Context(), `INSERT INTO analytics_cursors (name, position, form) VALUES ('anomalies', $1, 1)`, hour.Unix()/3600)
	require.NoError(t, err)
}

func by2(by map[string]anomaly) string {
	for _, a := range by {
		return a.ID
	}
	return ""
}

// readMuch writes access entries: of some who read little, and of one who reads much.
func (f *fixture) readMuch(t *testing.T, hour time.Time) {
	t.Helper()
	entry := func(id int, at time.Time, principal, phase, route string, events int) {
		_, err := f.conn.Exec(t.Context(), `INSERT INTO access_log (id, time, entry) VALUES ($1, $2, jsonb_build_object('principal', $3::text, 'phase', $4::text, 'route', $5::text, 'events', $6::int))`,
			id, at, principal, phase, route, events)
		require.NoError(t, err)
	}
	for _, month := range []time.Time{hour, hour.AddDate(0, 0, -10)} {
		_, err := f.conn.Exec(t.Context(), `SELECT ensure_partition('access_log', $1::date)`, month)
		require.NoError(t, err)
	}
	n := 0
	for day := range 10 {
		for _, principal := range []string{"ann", "bob", "mallory"} {
			entry(n, hour.AddDate(0, 0, -day).Add(time.Minute), principal, "request", "/v1/events", 50+day)
			n++
		}
		entry(n, hour.AddDate(0, 0, -day).Add(time.Minute), "oscar", "end", "/v1/events/export", 500+day)
		n++
	}
	entry(n, hour.Add(2*time.Minute), "mallory", "request", "/v1/events", 100_000)
	n++
	entry(n, hour.Add(3*time.Minute), "oscar", "progress", "/v1/events/export", 900_000) // its end has the sum
	n++
	entry(n, hour.Add(4*time.Minute), "oscar", "end", "/v1/events/export", 1_000_000)
	_, err := f.conn.Exec(t.Context(), `INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest, leaves)
		VALUES ('access', 0, 0, $1, now(), now(), now(), decode(repeat('00', 32 * $1), 'hex'))`, n+1)
	require.NoError(t, err)
}

// With nothing unusual nothing is found, and with sensitivity off nothing is looked for.
func TestNoFalseAlarms(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	end := time.Now().UTC().Truncate(time.Hour)
	f.appendAll(t, history(end))
	n := 200_000
	var values [][]byte
	for i := range 41 {
		at := end.Add(-time.Hour).Add(time.Duration(i) * time.Minute)
		values = append(values, made(n+2*i, "Placed", fmt.Sprint("p-", i), 1, at, "", "shop", ""), made(n+2*i+1, "Scanned", fmt.Sprint("q-", i), 1, at, "", "scanner", ""))
	}
	f.appendAll(t, values)
	f.lookFrom(t, end.Add(-time.Hour))
	f.start(t, func(d *analytics.Dependencies) {
		d.Options = analytics.Options{Sensitivity: "medium"}
		d.Now = func() time.Time { return end.Add(6 * time.Minute) }
	})
	require.Eventually(t, func() bool {
		var done bool
		return f.conn.QueryRow(t.Context(), `SELECT count(*) = 2 FROM analytics_cursors WHERE name IN ('anomalies', 'versions') AND position > 0`).Scan(&done) == nil && done
	}, time.Minute, 20*time.Millisecond)
	var last int64
	require.Eventually(t, func() bool {
		return f.conn.QueryRow(t.Context(), `SELECT position FROM analytics_cursors WHERE name = 'anomalies'`).Scan(&last) == nil && last == end.Unix()/3600
	}, time.Minute, 20*time.Millisecond)
	var list struct{ Items []anomaly }
	f.get(t, "/v1/anomalies?limit=1000").decode(t, &list)
	require.Empty(t, list.Items)
}
