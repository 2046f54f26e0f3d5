package query_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"audittrail/modules/access"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
)

// Names in which a pattern of LIKE, a glob or a quote may go wrong.
var scopedNames = []string{"Order", "order", "OrderPaid", "Order%", "Order_1", "Orderx1", `Or\der`, `O'r"der`, "Ördér", "日本", "a*b", "a?b", "aXb", "$1", "%"}

// scopedRecord is a record of the property test, and what a scope looks at in it.
type scopedRecord struct {
	value                    string
	id                       string // "" of a record that becomes a dead letter
	eventType, aggregateType string
	source                   string
	hasSource                bool
	isReadable               bool
}

func (r scopedRecord) shownBy(scope store.Scope) bool {
	return r.isReadable && scope.Shows(r.eventType, r.aggregateType, r.source, r.hasSource)
}

// scopedRecords are n random records: events, and some that can't become one.
func scopedRecords(random *rand.Rand, n int) []scopedRecord {
	one := func(names []string) string { return names[random.IntN(len(names))] }
	var records []scopedRecord
	for i := range n {
		r := scopedRecord{id: id(i), eventType: one(scopedNames), aggregateType: one(scopedNames[:4]), hasSource: random.IntN(3) > 0, isReadable: true}
		metadata := map[string]any{"correlationId": "w" + strconv.Itoa(random.IntN(6)), "userId": "u" + strconv.Itoa(random.IntN(3))}
		if r.hasSource {
			r.source = one(append([]string{""}, scopedNames...))
			metadata["source"] = r.source
		}
		if random.IntN(3) > 0 {
			metadata["causationId"] = id(random.IntN(n + 5))
		}
		fields := map[string]any{
			"eventId": r.id, "eventType": r.eventType, "aggregateId": strconv.Itoa(random.IntN(3)), "aggregateType": r.aggregateType,
			"timestamp": time.Date(2026, time.Month(1+random.IntN(4)), 1, 0, random.IntN(8), 0, 0, time.UTC).Format(time.RFC3339),
			"version":   1 + random.IntN(6), "payload": map[string]any{"k": random.IntN(4), strconv.Itoa(random.IntN(3)): i}, "metadata": metadata,
		}
		if random.IntN(5) == 0 {
			r.id = ""
			fields["version"] = -1
			switch random.IntN(3) {
			case 0:
				delete(fields, "aggregateType")
				r.isReadable = false
			case 1:
				fields["eventType"] = []string{r.eventType}
				r.isReadable = false
			}
		}
		value, err := json.Marshal(fields)
		if err != nil {
			panic(err)
		}
		if r.value = string(value); r.id == "" && random.IntN(4) == 0 {
			r.value, r.isReadable = r.value[1:], false
		}
		records = append(records, r)
	}
	return records
}

// scopedGlobs are random globs, most of which fit some name.
func scopedGlobs(random *rand.Rand) []string {
	if random.IntN(2) == 0 {
		return nil
	}
	var globs []string
	for range 1 + random.IntN(3) {
		glob := []rune(scopedNames[random.IntN(len(scopedNames))])
		for range random.IntN(3) {
			at := random.IntN(len(glob))
			switch random.IntN(4) {
			case 0:
				glob[at] = '*'
			case 1:
				glob[at] = '?'
			case 2:
				glob = append(glob[:at+1:at+1], '*')
			default:
				glob = append([]rune{'*'}, glob[at:]...)
			}
		}
		globs = append(globs, string(glob))
	}
	return globs
}

// pair is a reader with a scope, over all that there is, and one who sees everything, over a store in which there never
// was anything but what the scope shows. They MUST NOT get different answers.
type pair struct {
	roles   []string
	scope   store.Scope
	all     *api
	visible *api
}

// answers are what both get, without what tells the stores apart.
func (p *pair) answers(t testing.TB, path string, adjust func(*http.Request)) (scoped, want answer) {
	t.Helper()
	ask := func(a *api, roles ...string) answer {
		r := a.as(t, path, roles...)
		if adjust != nil {
			adjust(r)
		}
		got := a.raw(t, r)
		got.body = alike(t, got.body)
		return got
	}
	return ask(p.all, p.roles...), ask(p.visible, "admin")
}

// same asks both, holds the answers against each other, and answers the scoped one's.
func (p *pair) same(t *rapid.T, tb testing.TB, path string, adjust func(*http.Request)) answer {
	scoped, want := p.answers(tb, path, adjust)
	if scoped.status != want.status || string(scoped.body) != string(want.body) {
		t.Fatalf("%s, scope %v:\n got %d %s\nwant %d %s", path, p.scope.Parts(), scoped.status, scoped.body, want.status, want.body)
	}
	return scoped
}

// alike leaves out of an answer what depends on the store that it came from: positions and the like.
func alike(t testing.TB, body []byte) []byte {
	t.Helper()
	parts := slices.Collect(bytes.Lines(body))
	if json.Valid(body) {
		parts = [][]byte{body}
	}
	var out []byte
	for _, line := range parts {
		var value any
		if json.Unmarshal(line, &value) != nil {
			out = append(out, line...)
			continue
		}
		clean, err := json.Marshal(leaveOutAll(value))
		require.NoError(t, err)
		out = append(append(out, clean...), '\n')
	}
	return out
}

func leaveOutAll(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, member := range v {
			switch name {
			case "position", "recordedAt", "salt", "offset", "id", "receivedAt", "correlationId", "sha256", "checkpoint", "proof", "index", "scannedTo":
				if name != "correlationId" || v["status"] != nil { // the one of a problem
					delete(v, name)
				}
			case "nextCursor":
				v[name] = member != nil
			default:
				v[name] = leaveOutAll(member)
			}
		}
	case []any:
		for i := range v {
			v[i] = leaveOutAll(v[i])
		}
	}
	return value
}

// walk follows a list of both to its end, and holds each page against the other's.
func (p *pair) walk(t *rapid.T, tb testing.TB, path string) {
	cursors := [2]string{}
	for page := 0; ; page++ {
		var got [2]answer
		for i, a := range []*api{p.all, p.visible} {
			url := path
			if page > 0 {
				url += "&cursor=" + cursors[i]
			}
			roles := p.roles
			if a == p.visible {
				roles = []string{"admin"}
			}
			got[i] = a.raw(tb, a.as(tb, url, roles...))
			var l list
			if got[i].status == http.StatusOK {
				got[i].decode(tb, &l)
			}
			if cursors[i] = ""; l.NextCursor != nil {
				cursors[i] = *l.NextCursor
			}
			got[i].body = alike(tb, got[i].body)
		}
		if got[0].status != got[1].status || string(got[0].body) != string(got[1].body) {
			t.Fatalf("%s, page %d, scope %v:\n got %d %s\nwant %d %s", path, page, p.scope.Parts(), got[0].status, got[0].body, got[1].status, got[1].body)
		}
		if cursors[0] == "" {
			return
		}
	}
}

// follow reads the feed of both to its end, where the log's is: a scope does not hide how long that is.
func (p *pair) follow(t *rapid.T, tb testing.TB, limit int, filter url.Values) {
	filter.Del("order")
	read := func(a *api, roles ...string) (events []string) {
		after := "-1"
		for range 1000 {
			got := a.raw(tb, a.as(tb, "/v1/feed?after="+after+"&limit="+strconv.Itoa(limit)+"&"+filter.Encode(), roles...))
			require.Equal(tb, http.StatusOK, got.status, string(got.body))
			var l list
			got.decode(tb, &l)
			for _, e := range l.all("eventId") {
				events = append(events, e.(string))
			}
			if strconv.FormatInt(l.ScannedTo, 10) == after {
				return events
			}
			after = strconv.FormatInt(l.ScannedTo, 10)
		}
		t.Fatal("the feed has no end")
		return nil
	}
	if got, want := read(p.all, p.roles...), read(p.visible, "admin"); !slices.Equal(got, want) {
		t.Fatalf("feed, scope %v:\n got %v\nwant %v", p.scope.Parts(), got, want)
	}
}

func drawQuery(t *rapid.T, values url.Values, names map[string][]string) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if rapid.IntRange(0, 3).Draw(t, name+" given") == 0 {
			values.Set(name, rapid.SampledFrom(names[name]).Draw(t, name))
		}
	}
}

// drawFilter draws the parameters of a search.
func drawFilter(t *rapid.T) url.Values {
	values := url.Values{}
	drawQuery(t, values, map[string][]string{
		"eventType": scopedNames, "aggregateType": scopedNames[:4], "aggregateId": {"0", "1", "2"}, "from": {"2026-01-01T00:03:00Z", "2026-02-01T00:00:00Z"},
		"to": {"2026-02-01T00:04:00Z", "2026-03-01T00:00:00Z", "2026-04-01T00:05:00Z"}, "correlationId": {"w0", "w1"}, "causationId": {id(1), id(2), id(3)},
		"userId": {"u0", "u1"}, "source": scopedNames, "payload": {`{"k":1}`, `{"0":7}`}, "order": {"asc", "desc"},
	})
	if rapid.IntRange(0, 5).Draw(t, "several types") == 0 {
		values["eventType"] = rapid.SliceOfNDistinct(rapid.SampledFrom(scopedNames), 2, 4, rapid.ID).Draw(t, "types")
	}
	return values
}

// Nothing that a reader gets depends on what the reader's scope hides, but positions and sizes.
func TestNothingTellsOfHiddenEvents(t *testing.T) {
	t.Parallel()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	records := scopedRecords(random, 120)
	pairs := scopedPairs(t, random, records, 5)
	rapid.Check(t, func(rt *rapid.T) {
		p := rapid.SampledFrom(pairs).Draw(rt, "scope")
		limit := rapid.IntRange(1, 30).Draw(rt, "limit")
		aggregate := "/v1/aggregates/" + url.PathEscape(rapid.SampledFrom(scopedNames[:4]).Draw(rt, "type")) + "/" + rapid.SampledFrom([]string{"0", "1", "2", "3"}).Draw(rt, "id")
		paths := map[string]func(){
			"search": func() {
				p.walk(rt, t, fmt.Sprintf("/v1/events?count=exact&limit=%d&%s", limit, drawFilter(rt).Encode()))
			},
			"export": func() {
				filter := drawFilter(rt).Encode()
				for _, format := range []string{"ndjson", "bundle"} {
					p.same(rt, t, "/v1/events/export?format="+format+"&"+filter, nil)
				}
			},
			"event":   func() { p.one(rt, t, rapid.IntRange(0, len(records)+5).Draw(rt, "event")) },
			"history": func() { p.walk(rt, t, fmt.Sprintf("%s/events?limit=%d", aggregate, limit)) },
			"state":   func() { p.states(rt, t, aggregate) },
			"trace": func() {
				trace := fmt.Sprintf("/v1/traces/w%d", rapid.IntRange(0, 6).Draw(rt, "trace"))
				for _, accept := range []string{"application/json", "text/vnd.mermaid", "text/vnd.graphviz"} {
					p.same(rt, t, trace, func(r *http.Request) { r.Header.Set("Accept", accept) })
				}
			},
			"feed": func() { p.follow(rt, t, limit, drawFilter(rt)) },
			"dead letters": func() {
				letters := url.Values{"limit": {strconv.Itoa(1 + limit%4)}}
				drawQuery(rt, letters, map[string][]string{"topic": {"orders", "other"}, "reason": {"malformed_json", "invalid_field", "missing_field"}})
				p.walk(rt, t, "/v1/dead-letters?"+letters.Encode())
			},
		}
		for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom(slices.Sorted(maps.Keys(paths))), 1, 3, rapid.ID).Draw(rt, "paths") {
			paths[name]()
		}
	})
}

// one asks for an event and its evidence, also as somebody who has seen it before.
func (p *pair) one(rt *rapid.T, t testing.TB, n int) {
	for _, path := range []string{"/v1/events/" + id(n), "/v1/events/" + id(n) + "/proof"} {
		got := p.same(rt, t, path, nil)
		tag := p.all.raw(t, p.all.as(t, path, "admin")).header.Get("ETag")
		for _, known := range []string{tag, "*"} {
			if known == "" {
				continue
			}
			r := p.all.as(t, path, p.roles...)
			r.Header.Set("If-None-Match", known)
			want := http.StatusNotModified
			if got.status != http.StatusOK {
				want = http.StatusNotFound
			}
			if again := p.all.raw(t, r); again.status != want {
				rt.Fatalf("%s with If-None-Match: %d, want %d", path, again.status, want)
			}
		}
	}
}

// states asks for an aggregate's state and what changed, by all that a moment can be.
func (p *pair) states(rt *rapid.T, t testing.TB, aggregate string) {
	moments := []string{"2026-01-01T00:04:00Z", "2026-02-01T00:02:00Z", "2026-03-01T00:00:00Z", "2026-05-01T00:00:00Z"}
	p.all.raw(t, p.all.as(t, aggregate+"/state", "admin")) // who sees everything makes snapshots
	p.same(rt, t, aggregate+"/state", nil)
	p.same(rt, t, aggregate+"/state?at="+rapid.SampledFrom(moments).Draw(rt, "at"), nil)
	p.same(rt, t, aggregate+"/state?version="+strconv.Itoa(rapid.IntRange(0, 7).Draw(rt, "version")), nil)
	from, to := rapid.IntRange(0, 3).Draw(rt, "from"), rapid.IntRange(0, 3).Draw(rt, "to")
	p.same(rt, t, aggregate+"/diff?from="+moments[min(from, to)]+"&to="+moments[max(from, to)], nil)
	p.same(rt, t, fmt.Sprintf("%s/diff?from=%d&to=%d", aggregate, min(from, to), max(from, to)*2), nil)
}

// scopedPairs stores the records, and for each of n random scopes those that it shows in a store of their own.
func scopedPairs(t *testing.T, random *rand.Rand, records []scopedRecord, n int) []*pair {
	t.Helper()
	var roles []access.RoleOptions
	var pairs []*pair
	for i := range n {
		p := &pair{}
		for range 1 + random.IntN(3) {
			role := access.RoleOptions{
				Name:        fmt.Sprintf("%d-%d", i, len(p.roles)),
				Permissions: []string{"events:read", "proofs:read", "export", "deadletters:read", "pii:read"},
				Scope:       access.ScopeOptions{EventTypes: scopedGlobs(random), AggregateTypes: scopedGlobs(random), Sources: scopedGlobs(random)},
			}
			if role.Scope.EventTypes == nil && role.Scope.AggregateTypes == nil && role.Scope.Sources == nil {
				role.Scope.EventTypes = []string{"Or*"}
			}
			roles, p.roles = append(roles, role), append(p.roles, role.Name)
			p.scope = p.scope.Or(store.Only(store.ScopePart(role.Scope)))
		}
		pairs = append(pairs, p)
	}
	filled := func(records []scopedRecord) *api {
		url := migratetest.Database(t)
		a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) {
			s.access, s.snapshotEvery = access.Options{Mode: "strict", Roles: roles}, 2
		}))
		for part := range slices.Chunk(records, 13) {
			var values []string
			for _, r := range part {
				values = append(values, r.value)
			}
			a.append(t, values...)
		}
		a.sign(t)
		return a
	}
	all := filled(records)
	for _, p := range pairs {
		var shown []scopedRecord
		for _, r := range records {
			if r.shownBy(p.scope) {
				shown = append(shown, r)
			}
		}
		t.Logf("scope %v shows %d of %d", p.scope.Parts(), len(shown), len(records))
		p.all, p.visible = all, filled(shown)
	}
	return pairs
}

// A cursor is of one scope, and who sees a part gets no estimate, which counts what is hidden.
func TestScopesOfCursorsAndEstimates(t *testing.T) {
	t.Parallel()
	role := func(name string, scope access.ScopeOptions) access.RoleOptions {
		return access.RoleOptions{Name: name, Permissions: []string{"events:read", "deadletters:read"}, Scope: scope}
	}
	a := withRoles(t,
		role("created", access.ScopeOptions{EventTypes: []string{"*Created"}}), role("any", access.ScopeOptions{EventTypes: []string{"*"}}),
		role("type", access.ScopeOptions{EventTypes: []string{"list"}}), role("aggregate type", access.ScopeOptions{AggregateTypes: []string{"list"}}),
	)
	rejected := func(n int) string { return strings.Replace(order(n, "Order", "1"), `"version":1`, `"version":-1`, 1) }
	a.append(t, order(1, "Order", "1"), order(2, "Order", "1"), rejected(3), rejected(4))
	for _, path := range []string{"/v1/events?limit=1", "/v1/aggregates/Order/1/events?limit=1", "/v1/dead-letters?limit=1"} {
		all := [][]string{{"admin"}, {"created"}, {"any"}, {"created", "any"}, {"created", "type"}, {"created", "aggregate type"}}
		for i, roles := range all {
			var l list
			a.send(t, a.as(t, path, roles...)).decode(t, &l)
			require.NotNil(t, l.NextCursor, "%s as %v", path, roles)
			for j, others := range all {
				got := a.send(t, a.as(t, path+"&cursor="+*l.NextCursor, others...))
				if i == j {
					require.Equal(t, http.StatusOK, got.status, string(got.body))
				} else {
					got.refused(t, http.StatusBadRequest, "invalid_cursor", "cursor")
				}
			}
			slices.Reverse(roles)
			require.Equal(t, http.StatusOK, a.send(t, a.as(t, path+"&cursor="+*l.NextCursor, roles...)).status, "the same roles, named in another order")
			slices.Reverse(roles)
		}
	}
	a.send(t, a.as(t, "/v1/events?count=estimate", "any")).refused(t, http.StatusBadRequest, "invalid_parameter", "count")
	require.Equal(t, http.StatusOK, a.send(t, a.as(t, "/v1/events?count=estimate", "any", "viewer")).status)
}

// States that are kept hold all events: who sees a part neither gets nor makes one.
func TestScopedReadersHaveNoSnapshots(t *testing.T) {
	t.Parallel()
	orders := access.RoleOptions{Name: "created", Permissions: []string{"events:read"}, Scope: access.ScopeOptions{EventTypes: []string{"OrderCreated"}}}
	url := migratetest.Database(t)
	a := newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) {
		s.access, s.snapshotEvery = access.Options{Mode: "strict", Roles: []access.RoleOptions{orders}}, 1
	}))
	a.append(t, order(1, "Order", "1"), strings.Replace(strings.Replace(order(2, "Order", "1"), "OrderCreated", "Secret", 1), `{"n":2}`, `{"secret":true}`, 1), order(3, "Order", "1"))
	kept := func() (n int) {
		conn, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		defer conn.Close(t.Context()) //nolint:errcheck // nothing was written
		require.NoError(t, conn.QueryRow(t.Context(), "SELECT count(*) FROM state_snapshots").Scan(&n))
		return n
	}
	ask := func(roles ...string) map[string]any {
		var got struct{ State map[string]any }
		a.send(t, a.as(t, "/v1/aggregates/Order/1/state", roles...)).decode(t, &got)
		return got.State
	}
	require.Equal(t, map[string]any{"n": 3.0}, ask("created"))
	require.Zero(t, kept())
	require.Equal(t, map[string]any{"n": 3.0, "secret": true}, ask("viewer"))
	made := kept()
	require.Positive(t, made)
	require.Equal(t, map[string]any{"n": 3.0}, ask("created"))
	require.Equal(t, made, kept())
}
