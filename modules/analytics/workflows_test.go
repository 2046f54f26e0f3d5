package analytics_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/store"
)

type processAnswer struct {
	Cases, Events, VariantCount int64
	Activities                  []struct {
		EventType           string
		Count, Starts, Ends int64
	}
	Edges []struct {
		From, To string
		Count    int64
		New      bool
	}
	Variants []struct {
		EventTypes []string
		Count      int64
		New        bool
	}
}

func (p processAnswer) edges() map[string]int64 {
	edges := map[string]int64{}
	for _, e := range p.Edges {
		edges[e.From+" -> "+e.To] = e.Count
	}
	return edges
}

// The real orders' process is that of counts made without the code under test: by plain SQL, and by pm4py where it is.
func TestTheProcessOfTheRealOrders(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	orders := purchaseOrders(t)
	f.appendAll(t, orders)
	var got processAnswer
	f.get(t, "/v1/processes/PurchaseOrderItem?variants=1000").decode(t, &got)
	want := map[string]int64{}
	rows, err := f.conn.Query(t.Context(), `SELECT concat(before, ' -> ', event_type), count(*) FROM (
		SELECT event_type, lag(event_type) OVER (PARTITION BY aggregate_id ORDER BY timestamp, id) AS before FROM events) AS e WHERE before IS NOT NULL GROUP BY 1`)
	require.NoError(t, err)
	for rows.Next() {
		var edge string
		var n int64
		require.NoError(t, rows.Scan(&edge, &n))
		want[edge] = n
	}
	require.NoError(t, rows.Err())
	require.Equal(t, want, got.edges())
	require.EqualValues(t, len(orders), got.Events)
	var cases, variants int64
	require.NoError(t, f.conn.QueryRow(t.Context(), `SELECT count(*), count(DISTINCT types) FROM (SELECT array_agg(event_type ORDER BY timestamp, id) AS types FROM events GROUP BY aggregate_id) AS c`).Scan(&cases, &variants))
	require.Equal(t, []int64{cases, variants}, []int64{got.Cases, got.VariantCount})
	require.Equal(t, pm4py(t, orders), got.edges())
}

// pm4py counts what follows what in the events, as process miners do. The test is skipped where Python has no pm4py.
func pm4py(t *testing.T, orders [][]byte) map[string]int64 {
	t.Helper()
	python := cmp.Or(os.Getenv("TEST_PYTHON"), "python3") // one that has pm4py
	path := filepath.Join(t.TempDir(), "events.jsonl")
	require.NoError(t, os.WriteFile(path, bytes.Join(orders, []byte("\n")), 0o600))
	out, err := exec.CommandContext(t.Context(), python, "-c", `
import sys, json, pandas, pm4py
rows = [json.loads(line) for line in open(sys.argv[1])]
log = pandas.DataFrame({"case:concept:name": [r["aggregateId"] for r in rows], "concept:name": [r["eventType"] for r in rows],
	"time:timestamp": pandas.to_datetime([r["timestamp"] for r in rows], utc=True, format="ISO8601")})
log = log.sort_values("time:timestamp", kind="stable")
graph, starts, ends = pm4py.discover_dfg(log)
print(json.dumps({a + " -> " + b: int(n) for (a, b), n in graph.items()}))
`, path).CombinedOutput()
	if isMissing := errors.Is(err, exec.ErrNotFound) || bytes.Contains(out, []byte("No module named")); isMissing && os.Getenv("CI") == "" {
		t.Skipf("%s or its module pm4py is missing, so the comparison with it is left out: %s", python, out)
	}
	require.NoError(t, err, "%s", out)
	var edges map[string]int64
	require.NoError(t, json.Unmarshal(out[lastLine(out):], &edges))
	return edges
}

func lastLine(out []byte) int {
	for i := len(out) - 2; i >= 0; i-- {
		if out[i] == '\n' {
			return i + 1
		}
	}
	return 0
}

// shopped makes a workflow over two aggregates: of each step its type and when it is, in seconds.
func shopped(n int, steps ...any) [][]byte {
	var all [][]byte
	for i := 0; i < len(steps); i += 2 {
		kind, at := steps[i].(string), steps[i+1].(int)
		about := "Order"
		if kind == "Paid" || kind == "Refunded" {
			about = "Payment"
		}
		all = append(all, []byte(fmt.Sprintf(`{"eventId":"0190d3f1-7c3a-7b1e-9%03x-%012x","eventType":%q,"aggregateType":%q,"aggregateId":"%s-%d","timestamp":%q,"version":%d,
			"payload":1,"metadata":{"correlationId":"flow-%d","source":"shop"}}`, i, n, kind, about, about, n,
			time.Date(2026, 5, 1, 0, 0, at, 0, time.UTC).Format(time.RFC3339), i/2+1, n)))
	}
	return all
}

func TestFunnelsAndSteps(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, shopped(1, "Placed", 0, "Paid", 10, "Shipped", 70, "Refunded", 500)...)
	f.append(t, shopped(2, "Placed", 100, "Paid", 120, "Shipped", 220)...)
	f.append(t, shopped(3, "Placed", 200, "Paid", 240)...)
	f.append(t, shopped(4, "Placed", 300, "Shipped", 310, "Paid", 360)...) // out of order
	f.append(t, shopped(5, "Paid", 400)...)                                // no order at all
	var funnel struct {
		Steps []struct {
			EventType           string
			Count               int64
			Share               float64
			P50Seconds          *float64
			P95SecondsFromFirst *float64
		}
	}
	steps := url.Values{"step": {"Placed", "Paid", "Shipped", "Refunded"}}
	f.get(t, "/v1/stats/funnel?"+steps.Encode()).decode(t, &funnel)
	counts := []int64{}
	for _, s := range funnel.Steps {
		counts = append(counts, s.Count)
	}
	require.Equal(t, []int64{4, 4, 2, 1}, counts)
	require.Nil(t, funnel.Steps[0].P50Seconds)
	require.InEpsilon(t, 20, *funnel.Steps[1].P50Seconds, 0.01)
	require.InEpsilon(t, 500, *funnel.Steps[3].P95SecondsFromFirst, 0.01)
	f.get(t, "/v1/stats/funnel?since=2026-05-01T00:01:00Z&until=2026-05-01T00:05:00Z&"+steps.Encode()).decode(t, &funnel)
	require.EqualValues(t, 2, funnel.Steps[0].Count, "first steps from since on, and before until")
	require.EqualValues(t, 1, funnel.Steps[2].Count)
	f.get(t, "/v1/stats/funnel?since=2026-05-01T00:01:00Z&until=2026-05-01T00:01:45Z&"+steps.Encode()).decode(t, &funnel)
	require.Equal(t, []int64{1, 1, 1, 0}, []int64{funnel.Steps[0].Count, funnel.Steps[1].Count, funnel.Steps[2].Count, funnel.Steps[3].Count}, "later steps whenever")

	var step struct {
		Count, Open                         int64
		MeanSeconds, MinSeconds, MaxSeconds float64
		P50Seconds                          float64
	}
	f.get(t, "/v1/stats/steps?from=Placed&to=Paid").decode(t, &step)
	require.EqualValues(t, 4, step.Count)
	require.Zero(t, step.Open)
	require.Equal(t, []float64{32.5, 10, 60}, []float64{step.MeanSeconds, step.MinSeconds, step.MaxSeconds})
	f.get(t, "/v1/stats/steps?from=Paid&to=Refunded").decode(t, &step)
	require.Equal(t, []int64{1, 4}, []int64{step.Count, step.Open})
	f.get(t, "/v1/stats/steps?from=None&to=Paid").decode(t, &step)
	require.Zero(t, step.Count)
	f.get(t, "/v1/stats/funnel?step=Placed").refused(t, 400, "invalid_parameter", "step")
	f.get(t, "/v1/stats/steps?from=a&to=b&since=2026-05-01T00:01:00Z&until=2026-05-01T00:01:00Z").refused(t, 400, "invalid_parameter", "until")
}

// What began in the time that is asked for is followed beyond it until it is complete, and nothing else is read there: a
// store of years has more of it than one question may read.
func TestWhatBeganInATimeIsFollowedBeyondIt(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := func(s int) time.Time { return time.Date(2026, 5, 1, 0, 0, s, 0, time.UTC) }
	const month = 31 * 24 * 3600
	f.append(t, shopped(1, "Placed", 0, "Paid", month, "Paid", 6*month)...)
	f.append(t, shopped(2, "Placed", 200, "Paid", 300)...)
	f.append(t, shopped(3, "Paid", 10, "Paid", 400)...)
	f.append(t, shopped(4, "Placed", 40, "Paid", 50, "Paid", month)...)
	f.append(t, shopped(5, "Placed", 60, "Paid", month)...)
	f.append(t, made(4, "Placed", "lone", 1, at(20), "", "shop", ""), made(5, "Paid", "lone", 2, at(4*month), "", "shop", ""), made(6, "Paid", "other", 1, at(2000), "", "shop", ""))
	api := openPool(t, f.url, "audittrail_api")
	read := func(ctx context.Context) (cases [][]string) {
		reader := store.NewReader(store.ReaderOptions{Pool: api})
		question := store.CaseFilter{EventTypes: []string{"Placed", "Paid"}, From: at(0), To: at(100), IsOpen: func(events []store.CaseEvent) bool {
			return events[0].Type == "Placed" && len(events) == 1
		}}
		require.NoError(t, reader.Cases(ctx, question, func(events []store.CaseEvent) {
			one := []string{}
			for _, e := range events {
				one = append(one, fmt.Sprint(e.Type, int(e.At.Sub(at(0)).Seconds())))
			}
			cases = append(cases, one)
		}))
		return cases
	}
	require.ElementsMatch(t, [][]string{
		{"Placed0", fmt.Sprint("Paid", month)}, // and not the one later
		{"Paid10"},                             // never begun
		{"Placed60", fmt.Sprint("Paid", month)},
		{"Placed40", "Paid50"},                    // complete within the time
		{"Placed20", fmt.Sprint("Paid", 4*month)}, // an aggregate without workflow
	}, read(store.WithScope(t.Context(), store.Everything())))
	scoped := read(store.WithScope(t.Context(), store.Only(store.ScopePart{AggregateTypes: []string{"Payment"}})))
	require.ElementsMatch(t, [][]string{{"Paid10"}, {"Paid50"}}, scoped)
}

// What is out of a reader's scope is in no process.
func TestScopedReadersSeeTheProcessOfWhatTheySee(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	for n := range 3 {
		f.append(t, shopped(n, "OrderPlaced", 100*n, "Checked", 100*n+1, "OrderShipped", 100*n+2)...)
	}
	f.append(t, shopped(9, "Checked", 1)...)
	var all, scoped processAnswer
	f.get(t, "/v1/processes/Order?newSince=2026-05-01T00:02:00Z").decode(t, &all)
	f.get(t, "/v1/processes/Order", "orders-only").decode(t, &scoped)
	require.Equal(t, map[string]int64{"OrderPlaced -> Checked": 3, "Checked -> OrderShipped": 3}, all.edges())
	require.Equal(t, map[string]int64{"OrderPlaced -> OrderShipped": 3}, scoped.edges())
	require.EqualValues(t, 3, scoped.Cases)
	require.False(t, all.Variants[0].New)
	f.append(t, shopped(10, "OrderShipped", 200, "Checked", 300)...)
	f.get(t, "/v1/processes/Order?newSince=2026-05-01T00:02:00Z").decode(t, &all)
	var fresh []string
	for _, e := range all.Edges {
		if e.New {
			fresh = append(fresh, e.From+" -> "+e.To)
		}
	}
	sort.Strings(fresh)
	require.Equal(t, []string{"OrderShipped -> Checked"}, fresh, "a path that was never seen before")
	f.get(t, "/v1/processes/None").refused(t, 404, "not_found", "")
	f.get(t, "/v1/processes/Payment", "orders-only").refused(t, 404, "not_found", "")
}

// One caller has one of the two places for answers that read many events, whatever they send.
func TestOneCallerLeavesAPlaceForOthers(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, shopped(1, "Placed", 0, "Paid", 10)...)
	lock, err := f.conn.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "LOCK TABLE events IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	const path = "/v1/stats/steps?from=Placed&to=Paid"
	ask := func(caller string) answer {
		return f.askAs(t, caller, http.MethodGet, path, "", "application/json")
	}
	answers := make(chan answer, 2)
	waits := func(caller string, n int) {
		go func() { answers <- ask(caller) }()
		require.Eventually(t, func() bool {
			var waiting int
			err := lock.QueryRow(t.Context(), "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'events'::regclass").Scan(&waiting)
			return err == nil && waiting == n
		}, time.Minute, 10*time.Millisecond)
	}
	atOnce := func(caller string) answer {
		got := make(chan answer, 1)
		go func() { got <- ask(caller) }()
		require.Eventually(t, func() bool { return len(got) == 1 }, time.Minute, 10*time.Millisecond, "an answer that does not wait")
		return <-got
	}
	waits("ann", 1)
	own := atOnce("ann")
	own.refused(t, http.StatusServiceUnavailable, "unavailable", "")
	require.Contains(t, string(own.body), "a question of yours")
	waits("bob", 2)
	others := atOnce("eve")
	others.refused(t, http.StatusServiceUnavailable, "unavailable", "")
	require.Contains(t, string(others.body), "other questions")
	require.NoError(t, lock.Rollback(t.Context()))
	for range 2 {
		require.Equal(t, http.StatusOK, (<-answers).status)
	}
	require.Equal(t, http.StatusOK, ask("ann").status, "a place is given back")
}

// Producers choose the names of types. A process of too many of them is refused, and not drawn in so much memory.
func TestAProcessOfTooManyTypes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	at := time.Now().Add(-time.Hour)
	var many, ways [][]byte
	for i := range 1001 {
		many = append(many, made(i, fmt.Sprint("Type", i), "a", i, at.Add(time.Duration(i)*time.Second), "", "shop", ""))
	}
	f.appendAll(t, many)
	f.get(t, "/v1/processes/Order").refused(t, 422, "range_too_long", "")

	f = newFixture(t)
	for i := range 5100 { // each of 102 types is followed by one after the other of 50
		kind := fmt.Sprint("From", i/50)
		ways = append(ways, made(2*i, kind, fmt.Sprint(i), 1, at, "", "shop", ""), made(2*i+1, fmt.Sprint("To", i%50), fmt.Sprint(i), 2, at.Add(time.Second), "", "shop", ""))
	}
	f.appendAll(t, ways)
	f.get(t, "/v1/processes/Order").refused(t, 422, "range_too_long", "")
}
