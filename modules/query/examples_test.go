package query_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/httpapi/httpapitest"
)

// Each operation is asked as the examples of its parameters say: with those that it wants, which is answered
// as the specification shows it in every form, and with each of the others in turn.
func TestTheSpecificationsRequests(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.appendWith(t, []byte("order-1001"), []event.Header{{Key: "source", Value: []byte("shop")}}, guideRecords()...)
	a.sign(t)
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	for path, item := range spec.Doc.Paths.Map() {
		if strings.HasPrefix(path, "/v1/access-log") || isElsewhere(path) {
			continue // these tests keep none
		}
		require.Len(t, item.Operations(), 1, path)
		op := item.Get
		t.Run(path, func(t *testing.T) {
			for kind, content := range op.Responses.Status(http.StatusOK).Value.Content {
				if kind == "text/event-stream" { // which does not end
					continue
				}
				r := a.example(t, path, op)
				r.Header.Set("Accept", kind)
				switch kind { // which an export is by its format
				case "application/json":
					r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "format=ndjson", "format=bundle", 1)
				case "text/csv":
					r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "format=ndjson", "format=csv&columns=eventId,payload.total", 1)
				}
				if me, is := content.Example.(map[string]any); is && path == "/v1/me" {
					r.Header.Set("Authorization", "Bearer "+a.issuer.Token(map[string]any{"sub": me["principal"], "roles": me["roles"]}))
				}
				got := a.send(t, r)
				require.Equal(t, http.StatusOK, got.status, string(got.body))
				require.True(t, strings.HasPrefix(got.header.Get("Content-Type"), kind), kind)
				if strings.HasPrefix(path, "/v1/") {
					requireShown(t, content, got)
				}
			}
			for _, ref := range op.Parameters {
				if p := ref.Value; !p.Required {
					r := a.example(t, path, op, p)
					if r.URL.RawQuery += together(path, p.Name); p.Name == "columns" {
						r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "format=ndjson", "format=csv", 1)
					}
					got := a.send(t, r)
					require.Equal(t, http.StatusOK, got.status, "%s: %s", p.Name, got.body)
				}
			}
		})
	}
}

// together is what must be given beside a parameter.
func together(path, name string) string {
	switch {
	case path != "/v1/events/export":
		return ""
	case name == "after":
		return "&size=3"
	case name == "size":
		return "&after=0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01"
	}
	return ""
}

// example is the request of an operation by its parameters' examples: all that it wants, and more.
func (a *api) example(t *testing.T, path string, op *openapi3.Operation, more ...*openapi3.Parameter) *http.Request {
	t.Helper()
	for _, ref := range op.Parameters {
		if p := ref.Value; p.Required {
			more = append(more, p)
		}
	}
	query, header := url.Values{}, http.Header{}
	for _, p := range more {
		require.NotNil(t, p.Example, "%s has no example", p.Name)
		value := p.Example
		if all, many := value.([]any); many {
			value = all[0]
		}
		switch text := fmt.Sprint(value); {
		case p.Name == "cursor": // which is of one search, and not of the next
			query.Set("cursor", a.cursorOf(t, path, op))
		case p.In == openapi3.ParameterInPath:
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(text))
		case p.In == openapi3.ParameterInQuery:
			query.Set(p.Name, text)
		default:
			header.Set(p.Name, text)
		}
	}
	if query.Get("cursor") == "" {
		query.Del("cursor")
	}
	r := a.request(t, path+"?"+query.Encode())
	for name := range header {
		r.Header.Set(name, header.Get(name))
	}
	return r
}

// cursorOf is a cursor of the list that an operation answers; "" where it has one page only.
func (a *api) cursorOf(t *testing.T, path string, op *openapi3.Operation) string {
	t.Helper()
	r := a.example(t, path, op)
	r.URL.RawQuery += "&limit=1"
	var page list
	a.send(t, r).decode(t, &page)
	if page.NextCursor == nil {
		return ""
	}
	return *page.NextCursor
}

// What is another each time: random, signed, or the time of storing.
var (
	otherEachTime = regexp.MustCompile(`"(recordedAt|receivedAt|expiresAt|salt)":"[^"]*"`)
	hashed        = regexp.MustCompile(`[A-Za-z0-9+/_-]{43,}=*|extra [^\n]*`)
)

// requireShown checks that an answer is the example of its form.
func requireShown(t *testing.T, content *openapi3.MediaType, got answer) {
	t.Helper()
	require.NotNil(t, content.Example, "the answer has no example: %s", got.body)
	shown, isText := content.Example.(string)
	have := string(got.body)
	if !isText {
		text, err := json.Marshal(content.Example)
		require.NoError(t, err)
		var again any
		got.decode(t, &again)
		sorted, err := json.Marshal(again)
		require.NoError(t, err)
		shown, have = string(text), string(sorted)
	}
	for _, same := range []*regexp.Regexp{otherEachTime, hashed} {
		shown, have = same.ReplaceAllString(shown, "…"), same.ReplaceAllString(have, "…")
	}
	require.Equal(t, shown, have)
}

// Each refusal that the specification shows is of the status under which it stands, and each code is shown.
func TestTheSpecificationsProblems(t *testing.T) {
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	schema := spec.Doc.Components.Schemas["Problem"].Value
	shown := map[string]bool{"method_not_allowed": true} // of no operation: it is told at the beginning
	for _, item := range spec.Doc.Paths.Map() {
		for _, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				problem := response.Value.Content["application/problem+json"]
				if problem == nil {
					continue
				}
				require.NotEmpty(t, problem.Examples, status)
				for name, example := range problem.Examples {
					value, _ := example.Value.Value.(map[string]any)
					require.NoError(t, schema.VisitJSON(value), name)
					knowsAll(t, schema, value, name)
					require.Equal(t, status, fmt.Sprint(value["status"]))
					code, _ := value["code"].(string)
					require.Contains(t, *response.Value.Description, "`"+code+"`")
					shown[code] = true
				}
			}
		}
	}
	for _, code := range spec.Doc.Components.Schemas["ProblemCode"].Value.Enum {
		require.True(t, shown[fmt.Sprint(code)], code)
	}
}
