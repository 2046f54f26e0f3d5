package httpapi

import (
	"log/slog"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

func loadRules(t testing.TB) map[string]*rules {
	t.Helper()
	spec, err := Load()
	require.NoError(t, err)
	all := map[string]*rules{}
	for path, item := range spec.Doc.Paths.Map() {
		for _, op := range item.Operations() {
			r, err := parameterRules(op)
			require.NoError(t, err, path)
			all[op.OperationID] = r
		}
	}
	return all
}

// What is public is public by decision, one by one.
func TestPublicOperations(t *testing.T) {
	spec, err := Load()
	require.NoError(t, err)
	var public, opened []string
	for path, item := range spec.Doc.Paths.Map() {
		for _, op := range item.Operations() {
			if isPublic(spec.Doc, op) {
				public = append(public, path)
			} else {
				require.True(t, strings.HasPrefix(path, "/v1/"), path)
				require.NotNil(t, op.Responses.Status(401), path)
			}
			if mayBePublic(op) {
				opened = append(opened, path)
			}
			require.NotEmpty(t, op.Summary, path)
			require.NotNil(t, op.Responses.Status(400), path)
		}
	}
	require.ElementsMatch(t, []string{"/docs", "/openapi.json", "/schemas/event.json"}, public)
	require.ElementsMatch(t, []string{"/v1/ledger/{log}/checkpoint", "/v1/ledger/{log}/consistency"}, opened, "with ledger.public")
}

// What no permission guards is so by decision, one by one; and what declares none is not served.
func TestEveryOperationDeclaresItsPermission(t *testing.T) {
	spec, err := Load()
	require.NoError(t, err)
	var open []string
	for path, item := range spec.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			permission, err := permissionOf(op)
			require.NoError(t, err, "%s %s", method, path)
			if permission == access.None {
				open = append(open, path)
			} else {
				require.NotNil(t, op.Responses.Status(403), path)
			}
		}
	}
	require.ElementsMatch(t, []string{"/docs", "/openapi.json", "/schemas/event.json", "/v1/access-log", "/v1/me"}, open, "the access log wants one but of who asks for the own entries")

	for _, wrong := range []map[string]any{nil, {"x-permission": ""}, {"x-permission": "events:*"}, {"x-permission": []any{"events:read"}}} {
		spec.Doc.Paths.Value("/v1/feed").Get.Extensions = wrong
		server, err := httpserver.New(httpserver.Options{Addr: "127.0.0.1:0", MaxRequests: 1}, httpserver.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
		require.NoError(t, err)
		require.ErrorContains(t, Mount(server, spec, Entrance{}, nil), "/v1/feed: x-permission is missing")
	}
}

func TestSchemasThatCanNotBeChecked(t *testing.T) {
	for name, schema := range map[string]*openapi3.Schema{
		"a number":               openapi3.NewFloat64Schema(),
		"an object":              openapi3.NewObjectSchema(),
		"a format":               openapi3.NewStringSchema().WithFormat("email"),
		"an array without a max": openapi3.NewArraySchema().WithItems(openapi3.NewStringSchema()),
		"an array of arrays":     openapi3.NewArraySchema().WithMaxItems(2).WithItems(openapi3.NewArraySchema().WithMaxItems(2).WithItems(openapi3.NewStringSchema())),
		"an enum of numbers":     openapi3.NewStringSchema().WithEnum(1),
	} {
		_, err := newRule(schema)
		require.Error(t, err, name)
	}
}

// The order in which parameters stand decides which fault is told of, and each is told by its name.
func TestQueryFaultsNameTheirParameter(t *testing.T) {
	r := loadRules(t)["listEvents"]
	for query, field := range map[string]string{
		"limit=0&order=up": "limit", "order=up&limit=0": "order", "order=asc&nonsense=1&limit=0": "nonsense",
	} {
		err := r.checkQuery(query)
		require.Equal(t, field, errs.Of(err).Field)
		require.Equal(t, "invalid_parameter", errs.Of(err).Code)
	}
	require.NoError(t, r.checkQuery("&&eventType=a%2Bb&eventType=c+d&&limit=1&"))
	require.NoError(t, r.checkQuery(""))

	needed := &rules{query: map[string]rule{"a": {one: func(string) bool { return true }}}, required: []string{"a"}}
	require.Equal(t, "a", errs.Of(needed.checkQuery("")).Field)
}

// Whatever a query is, either net/url reads exactly what was checked, or it is refused with an error that
// can be shown.
func FuzzCheckQuery(f *testing.F) {
	for _, seed := range []string{"", "limit=5", "eventType=a&eventType=b", "limit=%zz", "a;b=c", "cursor=x&x", "=&&=", "%6cimit=5", "limit=5&limit=6", "from=2026-01-01T00:00:00%2B01:00"} {
		f.Add(seed)
	}
	r := loadRules(f)["listEvents"]
	f.Fuzz(func(t *testing.T, raw string) {
		err := r.checkQuery(raw)
		if err == nil {
			values, err := url.ParseQuery(raw)
			require.NoError(t, err, "the router would read something else")
			for name, all := range values {
				require.Contains(t, r.query, name)
				for _, value := range all {
					require.True(t, value != "" && isText(value) && r.query[name].one(value))
				}
			}
			return
		}
		var public *errs.Error
		require.ErrorAs(t, err, &public)
		require.NotEmpty(t, public.Field)
		require.True(t, utf8.ValidString(public.Field) && isText(public.Field) && len(public.Field) <= 256)
		require.NotContains(t, public.Detail, "%!")
	})
}
