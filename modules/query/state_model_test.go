package query_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// naiveMerge is MergePatch of RFC 7396 as its pseudo-code has it.
func naiveMerge(target any, patch map[string]any) map[string]any {
	result := map[string]any{}
	if old, ok := target.(map[string]any); ok {
		for name, value := range old {
			result[name] = value
		}
	}
	for name, value := range patch {
		if inner, ok := value.(map[string]any); ok {
			result[name] = naiveMerge(result[name], inner)
		} else if result[name] = value; value == nil {
			delete(result, name)
		}
	}
	return result
}

// naiveState folds the events that fit, which are in their order; nil where none does.
func naiveState(events []map[string]any, fits func(map[string]any) bool) map[string]any {
	var state map[string]any
	for _, e := range events {
		if fits(e) {
			state = naiveMerge(state, e["payload"].(map[string]any))
		}
	}
	return state
}

// applyChanges applies the steps of a diff to a copy of the state.
func applyChanges(t *testing.T, state map[string]any, changes []map[string]any) map[string]any {
	t.Helper()
	out := naiveMerge(state, nil)
	for _, c := range changes {
		parts := strings.Split(c["path"].(string)[1:], "/")
		at := out
		for _, part := range parts[:len(parts)-1] {
			inner := naiveMerge(at[part], nil) // a copy
			at[part] = inner
			at = inner
		}
		last := parts[len(parts)-1]
		if c["op"] == "remove" {
			require.Contains(t, at, last)
			delete(at, last)
		} else {
			at[last] = c["value"]
		}
	}
	return out
}

func TestStatesAndDiffsAreTheNaiveFold(t *testing.T) {
	t.Parallel()
	database := migratetest.Database(t)
	a := newAPIOn(t, database, startAPI(t, apiPool(t, database), func(s *settings) { s.snapshotEvery = 3 }))
	random := rand.New(rand.NewPCG(1, 2))
	payloads := []string{`{"a":1}`, `{"a":2,"b":{"x":1}}`, `{"b":{"y":[1]}}`, `{"a":null}`, `{"b":null}`, `{"b":{"x":null}}`, `{"b":7}`, `{"c":{"d":{"e":true}}}`, `{"c":{"d":null}}`}
	aggregates, rounds, each := longtest.Choose(t, 20, 1000), longtest.Choose(t, 3, 1), 12
	var values []string
	for n := range aggregates * each {
		at := time.Date(2026, time.Month(1+random.IntN(2)), 1, 0, random.IntN(6), 0, 0, time.UTC)
		values = append(values, fmt.Sprintf(`{"eventId":%q,"eventType":"E","aggregateId":"o-%d","aggregateType":"Order","timestamp":%q,"version":%d,"payload":%s}`,
			id(n), n%aggregates, at.Format(time.RFC3339), 1+random.IntN(8), payloads[random.IntN(len(payloads))]))
	}
	random.Shuffle(len(values), func(i, j int) { values[i], values[j] = values[j], values[i] })
	// In two parts, the second of which has events of before the first one's: what was kept of it is wrong then.
	// A part of the aggregates is enough to keep some that get wrong.
	for half, looked := range []int{aggregates / 5, aggregates} {
		for part := range slices.Chunk(values[half*aggregates*each/2:(half+1)*aggregates*each/2], 37) {
			a.append(t, part...)
		}
		statesAreNaive(t, a, random, looked, rounds)
	}
	var kept int
	require.NoError(t, apiPool(t, database).QueryRow(t.Context(), "SELECT count(*) FROM state_snapshots").Scan(&kept))
	require.Greater(t, kept, aggregates, "states are kept")
}

// statesAreNaive compares states and diffs of the aggregates o-0 … at random moments with a naive fold.
func statesAreNaive(t *testing.T, a *api, random *rand.Rand, aggregates, rounds int) {
	t.Helper()
	for n := range aggregates {
		path := fmt.Sprintf("/v1/aggregates/Order/o-%d", n)
		events := a.list(t, path+"/events").Items
		if len(events) == 0 {
			continue
		}
		slices.SortFunc(events, func(x, y map[string]any) int {
			if c := strings.Compare(x["timestamp"].(string), y["timestamp"].(string)); c != 0 {
				return c
			}
			return int(x["position"].(float64) - y["position"].(float64))
		})
		until := func(member string, one map[string]any) func(map[string]any) bool {
			if text, ok := one[member].(string); ok {
				return func(e map[string]any) bool { return e[member].(string) <= text }
			}
			return func(e map[string]any) bool { return e[member].(float64) <= one[member].(float64) }
		}
		for range rounds {
			one, other := events[random.IntN(len(events))], events[random.IntN(len(events))]
			for parameter, member := range map[string]string{"at": "timestamp", "version": "version", "position": "position"} {
				got := a.get(t, path+"/state?"+parameter+"="+url.QueryEscape(fmt.Sprint(one[member])))
				require.Equal(t, http.StatusOK, got.status, string(got.body))
				var s struct{ State map[string]any }
				got.decode(t, &s)
				require.Equal(t, naiveState(events, until(member, one)), s.State, "%s by %s", path, parameter)
				if parameter == "position" {
					continue
				}
				from, to := one, other
				if !until(member, to)(from) {
					from, to = to, from
				}
				query := url.Values{"from": {fmt.Sprint(from[member])}, "to": {fmt.Sprint(to[member])}}
				var diff struct{ Changes []map[string]any }
				a.get(t, path+"/diff?"+query.Encode()).decode(t, &diff)
				before, after := naiveState(events, until(member, from)), naiveState(events, until(member, to))
				require.Equal(t, after, applyChanges(t, before, diff.Changes), "%s %s", path, query.Encode())
				for _, c := range diff.Changes {
					i := slices.IndexFunc(events, func(e map[string]any) bool { return e["eventId"] == c["eventId"] })
					require.GreaterOrEqual(t, i, 0)
					require.True(t, until(member, to)(events[i]))
				}
			}
		}
	}
}

func BenchmarkStateOf100kEvents(b *testing.B) {
	a := newAPI(b)
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for n := 0; n < 100_000; n += 4000 {
		var values []string
		for i := n; i < n+4000; i++ {
			values = append(values, fmt.Sprintf(`{"eventId":%q,"eventType":"E","aggregateId":"o-1","aggregateType":"Order","timestamp":%q,"version":%d,"payload":{"status":"s%d","total":%d.5,"lines":[{"sku":"a"}]}}`,
				id(i), start.Add(time.Duration(i)*time.Minute).Format(time.RFC3339), i+1, i, i))
		}
		a.append(b, values...)
	}
	for _, path := range []string{"state", "diff?from=1&to=100000", "diff?from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"} {
		b.Run(path, func(b *testing.B) {
			for b.Loop() {
				require.Equal(b, http.StatusOK, a.get(b, "/v1/aggregates/Order/o-1/"+path).status)
			}
		})
	}
}
