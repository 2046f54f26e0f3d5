package analytics_test

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"audittrail/modules/httpapi/httpapitest"
)

// guideHistory is the history that docs/API.md and the examples of the specification tell of.
func guideHistory() [][]byte {
	return [][]byte{
		[]byte(`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01","eventType":"OrderCreated","aggregateId":"order-1001","aggregateType":"Order",
		  "timestamp":"2026-03-01T09:30:00Z","version":1,"payload":{"total":99.90,"currency":"EUR"},
		  "metadata":{"correlationId":"checkout-551","userId":"c-7","source":"order-service"}}`),
		[]byte(`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a02","eventType":"OrderPaid","aggregateId":"order-1001","aggregateType":"Order",
		  "timestamp":"2026-03-01T09:31:10.25Z","version":2,"payload":{"method":"card"},
		  "metadata":{"correlationId":"checkout-551","causationId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01","source":"payment-service"}}`),
		[]byte(`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a03","eventType":"OrderShipped","aggregateId":"order-1001","aggregateType":"Order",
		  "timestamp":"2026-03-01T16:00:00+01:00","version":3,"payload":{"parcel":"JD014600"},
		  "metadata":{"correlationId":"checkout-551","source":"warehouse"}}`),
	}
}

// The guide's requests to the analytics are answered as it says.
func TestTheGuidesExamples(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, guideHistory()...)
	f.start(t)
	f.caughtUp(t)
	guide, err := os.ReadFile("../../docs/API.md")
	require.NoError(t, err)
	examples := regexp.MustCompile("(?s)```sh\ncurl ([^\n]*)\"\\$AUDITTRAIL(/v1/(?:stats|processes|anomalies)[^\"\n]*)\"\n```\n(?:```(json|text)\n(.*?)```)?").FindAllStringSubmatch(string(guide), -1)
	require.NotEmpty(t, examples)
	for _, e := range examples {
		accept := "application/json"
		if given := regexp.MustCompile(`Accept: ([^"]*)`).FindStringSubmatch(e[1]); given != nil {
			accept = given[1]
		}
		got := f.ask(t, http.MethodGet, e[2], "", accept)
		require.Equal(t, http.StatusOK, got.status, "%s: %s", e[2], got.body)
		switch e[3] {
		case "json":
			require.JSONEq(t, e[4], string(got.body), e[2])
		case "text":
			require.Equal(t, e[4], string(got.body), e[2])
		}
	}
}

// Each operation is asked as its parameters' examples say: with those that it wants, in every form, and with each of the
// others in turn. The answer to the first is as the specification shows it.
func TestTheSpecificationsExamples(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.append(t, guideHistory()...)
	f.start(t)
	f.caughtUp(t)
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	for path, item := range spec.Doc.Paths.Map() {
		op := item.Get
		if op == nil || !slices.Contains(op.Tags, "analytics") || strings.HasPrefix(path, "/v1/anomalies") {
			continue
		}
		var wanted []*openapi3.Parameter
		for _, p := range op.Parameters {
			if p.Value.Required {
				wanted = append(wanted, p.Value)
			}
		}
		for kind, content := range op.Responses.Status(http.StatusOK).Value.Content {
			got := f.ask(t, http.MethodGet, example(path, wanted...), "", kind)
			require.Equal(t, http.StatusOK, got.status, "%s: %s", path, got.body)
			require.True(t, strings.HasPrefix(got.header.Get("Content-Type"), kind))
			if kind == "application/json" {
				want, err := jsonOf(content.Example)
				require.NoError(t, err)
				require.JSONEq(t, want, string(got.body), path)
				continue
			}
			require.Equal(t, content.Example, string(got.body), path)
		}
		for _, p := range op.Parameters {
			if !p.Value.Required {
				got := f.get(t, example(path, append(slices.Clone(wanted), p.Value)...))
				require.Equal(t, http.StatusOK, got.status, "%s: %s", p.Value.Name, got.body)
			}
		}
	}
}

// example is the path of a request by its parameters' examples.
func example(path string, parameters ...*openapi3.Parameter) string {
	query := url.Values{}
	for _, p := range parameters {
		values, many := p.Example.([]any)
		if !many {
			values = []any{p.Example}
		}
		for _, v := range values {
			if p.In == openapi3.ParameterInPath {
				path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(fmt.Sprint(v)))
				continue
			}
			query.Add(p.Name, fmt.Sprint(v))
		}
	}
	return path + "?" + query.Encode()
}
