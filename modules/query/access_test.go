package query_test

import (
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi/httpapitest"
	"audittrail/modules/migrate/migratetest"
)

// as is a request of somebody who has these roles.
func (a *api) as(t testing.TB, path string, roles ...string) *http.Request {
	t.Helper()
	r := a.request(t, path)
	r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"roles": append([]string{}, roles...)}))
	return r
}

// withRoles starts an API with these roles beside the built-in ones.
func withRoles(t testing.TB, roles ...access.RoleOptions) *api {
	t.Helper()
	url := migratetest.Database(t)
	options := access.Options{Mode: "strict", Roles: roles}
	require.NoError(t, options.Validate())
	return newAPIOn(t, url, startAPI(t, apiPool(t, url), func(s *settings) { s.access = options }))
}

// operation is something that the API does, and what it wants for it.
type operation struct {
	method, path string // the path without a query
	query        string // what it must be asked with
	permission   access.Permission
	isPublic     bool // without a token too
}

// operations are those of the specification, and the tiles, which are beside it.
func operations(t *testing.T) []operation {
	t.Helper()
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	values := map[string]string{
		"eventId": id(1), "type": "Order", "id": "1", "correlationId": "c", "log": "events", "format": "ndjson",
		"from": "1", "to": "1", "position": "0",
	}
	all := []operation{{http.MethodGet, "/v1/ledger/events/tile/0/000.p/1", "", access.ProofsRead, false}}
	for path, item := range spec.Doc.Paths.Map() {
		if isElsewhere(path) {
			continue
		}
		for method, op := range item.Operations() {
			o := operation{method: method, path: path, isPublic: op.Security != nil && len(*op.Security) == 0}
			o.permission = access.Permission(op.Extensions["x-permission"].(string))
			var query []string
			for _, p := range append(item.Parameters, op.Parameters...) {
				value, known := values[p.Value.Name]
				switch {
				case p.Value.In == openapi3.ParameterInPath:
					require.True(t, known, "%s: give %s a value", path, p.Value.Name)
					o.path = strings.ReplaceAll(o.path, "{"+p.Value.Name+"}", value)
				case p.Value.Required:
					require.True(t, known, "%s: give %s a value", path, p.Value.Name)
					query = append(query, p.Value.Name+"="+value)
				}
			}
			o.query = strings.Join(query, "&")
			all = append(all, o)
			if path == "/v1/access-log" { // the specification can't say that it wants a permission but for the own entries
				all[len(all)-1].query = "principal=me"
				all = append(all, operation{method, path, "principal=ann", access.AccessRead, false})
			}
		}
	}
	return all
}

// Every role may do what its permissions allow, and nothing else. What a request asks for is looked at last.
func TestRolesAndOperations(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "1"), `{`)
	a.sign(t)
	policy := access.NewPolicy(access.Options{})
	for _, o := range operations(t) {
		for _, roles := range [][]string{{"viewer"}, {"analyst"}, {"auditor"}, {"operator"}, {"admin"}, {}, {"root"}} {
			isAllowed := o.permission == access.None || policy.Grant(roles).Has(o.permission)
			for _, method := range []string{o.method, http.MethodHead} {
				for _, query := range []string{o.query, "nonsense=1"} {
					if o.query == "principal=ann" && query != o.query {
						continue // it is looked at before who asks
					}
					r := a.as(t, o.path, roles...)
					r.Method, r.URL.RawQuery = method, query
					ask := a.send
					if method == http.MethodHead {
						ask = a.raw
					}
					got := ask(t, r)
					name := strings.Join(append([]string{method, o.path, query}, roles...), " ")
					switch {
					case !isAllowed:
						require.Equal(t, http.StatusForbidden, got.status, name)
						if method != http.MethodHead {
							require.Contains(t, got.refused(t, http.StatusForbidden, "forbidden", "").Detail, string(o.permission), name)
						}
					case query != o.query:
						require.Contains(t, []int{http.StatusBadRequest, http.StatusNotFound}, got.status, name)
					case o.path == "/v1/access-log/0/proof":
						require.Equal(t, http.StatusNotFound, got.status, "%s: %s", name, got.body)
					default:
						require.Equal(t, http.StatusOK, got.status, "%s: %s", name, got.body)
					}
				}
			}
		}
		if o.isPublic {
			continue
		}
		r := a.as(t, o.path+"?nonsense=1")
		r.Header.Del("Authorization")
		a.send(t, r).refused(t, http.StatusUnauthorized, "unauthenticated", "")
	}
}

// raw sends a request, and does not hold the answer against the specification.
func (a *api) raw(t testing.TB, r *http.Request) answer {
	t.Helper()
	response, err := a.client.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return answer{response.StatusCode, response.Header, body}
}

// Evidence in bulk wants both permissions that it is made of, and shows what both show.
func TestBundlesWantTwoPermissions(t *testing.T) {
	t.Parallel()
	a := withRoles(t,
		access.RoleOptions{Name: "proofs", Permissions: []string{"proofs:read"}},
		access.RoleOptions{Name: "orders", Permissions: []string{"export"}, Scope: access.ScopeOptions{AggregateTypes: []string{"Order"}}},
		access.RoleOptions{Name: "ones", Permissions: []string{"proofs:read"}, Scope: access.ScopeOptions{AggregateTypes: []string{"?*"}, EventTypes: []string{"*Created"}}},
		access.RoleOptions{Name: "paid", Permissions: []string{"proofs:read"}, Scope: access.ScopeOptions{EventTypes: []string{"*Paid"}}},
	)
	a.append(t, order(1, "Order", "1"), order(2, "Invoice", "1"))
	a.sign(t)
	for _, c := range []struct {
		roles  []string
		format string
		lacks  string
		shown  []string
	}{
		{[]string{"analyst"}, "bundle", "proofs:read", nil},
		{[]string{"analyst"}, "ndjson", "", []string{id(1), id(2)}},
		{[]string{"proofs"}, "bundle", "export", nil},
		{[]string{"viewer"}, "ndjson", "export", nil},
		{[]string{"analyst", "proofs"}, "bundle", "", []string{id(1), id(2)}},
		{[]string{"orders", "proofs"}, "bundle", "", []string{id(1)}},
		{[]string{"analyst", "ones"}, "bundle", "", []string{id(1), id(2)}},
		{[]string{"orders", "ones"}, "bundle", "", []string{id(1)}},
		{[]string{"orders", "paid"}, "bundle", "", []string{}},
	} {
		got := a.send(t, a.as(t, "/v1/events/export?format="+c.format, c.roles...))
		if c.lacks != "" {
			require.Contains(t, got.refused(t, http.StatusForbidden, "forbidden", "").Detail, c.lacks)
			continue
		}
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		for _, n := range []int{1, 2} {
			require.Equal(t, slices.Contains(c.shown, id(n)), strings.Contains(string(got.body), id(n)), "%v %s: %d", c.roles, c.format, n)
		}
	}
}

// A record that could not become an event may hold anything. Its bytes are for those who may see what is sensitive,
// and only as far as that permission reaches.
func TestValuesOfDeadLetters(t *testing.T) {
	t.Parallel()
	orders := access.ScopeOptions{EventTypes: []string{"Order*"}}
	a := withRoles(t,
		access.RoleOptions{Name: "sensitive", Permissions: []string{"pii:read"}},
		access.RoleOptions{Name: "sensitive orders", Permissions: []string{"pii:read"}, Scope: orders},
		access.RoleOptions{Name: "orders", Permissions: []string{"deadletters:read"}, Scope: orders},
	)
	const secret = "c2VjcmV0" // in base64, wherever it stands, as all values have a length that is a multiple of 3
	value := func(eventType string, size int) string {
		v := `{"eventType":"` + eventType + `","aggregateType":"A","secret":"`
		v += strings.Repeat("-", (3-len(v)%3)%3) + "secret" + strings.Repeat("x", size) + `"}`
		return v + strings.Repeat(" ", (3-len(v)%3)%3)
	}
	long := a.kept(t, []byte("key"), []byte(value("OrderPaid", 200_000)), nil)
	longHeaders := a.kept(t, []byte("key"), []byte(value("OrderPaid", 10)), []event.Header{{Key: "h", Value: noise(200_000)}})
	short := a.kept(t, []byte("key"), []byte(value("OrderPaid", 10)), nil)
	other := a.kept(t, []byte("key"), []byte(value("Invoice", 10)), nil)
	unreadable := a.kept(t, []byte("key"), []byte("{ secret}"), nil)
	all := []int64{long, longHeaders, short, other, unreadable}
	var page letters
	a.send(t, a.as(t, "/v1/dead-letters?limit=2", "orders")).decode(t, &page)
	require.Len(t, page.Items, 2)
	require.Nil(t, page.NextCursor, "what is hidden behind them does not show")
	for _, c := range []struct {
		roles        []string
		seen, values []int64
		listed       []int64 // whose values lists show
	}{
		{[]string{"operator"}, all, nil, nil},
		{[]string{"auditor"}, all, all, []int64{longHeaders, short, other, unreadable}},
		{[]string{"operator", "sensitive"}, all, all, []int64{longHeaders, short, other, unreadable}},
		{[]string{"operator", "sensitive orders"}, all, []int64{longHeaders, short}, []int64{longHeaders, short}},
		{[]string{"orders"}, []int64{longHeaders, short}, nil, nil},
		{[]string{"orders", "sensitive"}, []int64{longHeaders, short}, []int64{longHeaders, short}, []int64{longHeaders, short}},
	} {
		var listed struct {
			Items []struct {
				ID    int64
				Value *string
			}
		}
		got := a.send(t, a.as(t, "/v1/dead-letters", c.roles...))
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		got.decode(t, &listed)
		var seen, shown []int64
		for _, item := range listed.Items {
			seen = append(seen, item.ID)
			if item.Value != nil {
				shown = append(shown, item.ID)
			}
		}
		require.ElementsMatch(t, c.seen, seen, c.roles)
		require.ElementsMatch(t, c.listed, shown, c.roles)
		require.Equal(t, len(c.listed) > 0, strings.Contains(string(got.body), secret) || strings.Contains(string(got.body), "IHNlY3JldH"), c.roles)
		for _, n := range all {
			one := a.send(t, a.as(t, "/v1/dead-letters/"+strconv.FormatInt(n, 10), c.roles...))
			if !slices.Contains(c.seen, n) {
				one.refused(t, http.StatusNotFound, "not_found", "")
				continue
			}
			require.Equal(t, http.StatusOK, one.status, string(one.body))
			var letter struct{ Value *string }
			one.decode(t, &letter)
			require.Equal(t, slices.Contains(c.values, n), letter.Value != nil, "%v, %d", c.roles, n)
		}
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	a := withRoles(t,
		access.RoleOptions{Name: "orders", Permissions: []string{"export", "events:read"}, Scope: access.ScopeOptions{EventTypes: []string{"Order*", "Invoice?"}, Sources: []string{"shop"}}},
		access.RoleOptions{Name: "reader", Permissions: []string{"events:read"}},
	)
	expires := time.Now().Add(time.Hour).Truncate(time.Second).UTC()
	ask := func(roles ...string) string {
		r := a.request(t, "/v1/me")
		r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"roles": roles, "sub": "ann", "exp": expires.Unix()}))
		got := a.send(t, r)
		require.Equal(t, http.StatusOK, got.status, string(got.body))
		return string(got.body)
	}
	until := `"expiresAt":"` + event.FormatTime(expires) + `"}`
	require.JSONEq(t, `{"principal":"ann","roles":["orders"],"permissions":["events:read","export"],"scope":{
		"events:read":[{"eventTypes":["Order*","Invoice?"],"aggregateTypes":[],"sources":["shop"]}],
		"export":[{"eventTypes":["Order*","Invoice?"],"aggregateTypes":[],"sources":["shop"]}]},`+until, ask("root", "orders", "orders"))
	require.JSONEq(t, `{"principal":"ann","roles":["orders","reader"],"permissions":["events:read","export"],"scope":{
		"export":[{"eventTypes":["Order*","Invoice?"],"aggregateTypes":[],"sources":["shop"]}]},`+until, ask("orders", "reader"))
	require.JSONEq(t, `{"principal":"ann","roles":[],"permissions":[],"scope":{},`+until, ask())
	require.JSONEq(t, `{"principal":"ann","roles":["viewer"],"permissions":["events:read","proofs:read"],"scope":{},`+until, ask("viewer"))
}
