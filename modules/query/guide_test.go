package query_test

import (
	"bufio"
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/httpapi/httpapitest"
)

// guideRecords is the history that docs/API.md tells of.
func guideRecords() []string {
	return []string{
		`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01","eventType":"OrderCreated","aggregateId":"order-1001","aggregateType":"Order",
		  "timestamp":"2026-03-01T09:30:00Z","version":1,"payload":{"total":99.90,"currency":"EUR"},
		  "metadata":{"correlationId":"checkout-551","userId":"c-7","source":"order-service"}}`,
		`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a02","eventType":"OrderPaid","aggregateId":"order-1001","aggregateType":"Order",
		  "timestamp":"2026-03-01T09:31:10.25Z","version":2,"payload":{"method":"card"},
		  "metadata":{"correlationId":"checkout-551","causationId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a01","source":"payment-service"}}`,
		`{"eventId":"0190d3f1-7c3a-7b1e-9c55-3f1f6f0c2a03","eventType":"OrderShipped","aggregateId":"order-1001","aggregateType":"Order",
		  "timestamp":"2026-03-01T16:00:00+01:00","version":3,"payload":{"parcel":"JD014600"},
		  "metadata":{"correlationId":"checkout-551","source":"warehouse"}}`,
		`{"hello":"world"}`,
	}
}

var (
	exampleText = regexp.MustCompile("(?s)```sh\n(curl [^\n]*)\n```\n(?:```(json|text)\n(.*?)```)?")
	curlText    = regexp.MustCompile(`^curl( -N)?((?: -H "[^"]*")*) "\$AUDITTRAIL([^"]*)"$`)
	headerText  = regexp.MustCompile(`-H "([^:"]*): ([^"]*)"`)
)

// Every request of the guide is sent, and its answer is as the guide says.
func TestTheGuidesExamples(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../docs/API.md")
	require.NoError(t, err)
	a := newAPI(t)
	a.appendWith(t, []byte("order-1001"), []event.Header{{Key: "source", Value: []byte("shop")}}, guideRecords()...)
	a.sign(t)
	examples := exampleText.FindAllStringSubmatch(string(guide), -1)
	require.GreaterOrEqual(t, len(examples), 25)
	for _, example := range examples {
		command := curlText.FindStringSubmatch(example[1])
		require.NotNil(t, command, "not a request that a test can send: %s", example[1])
		if isElsewhere(command[3]) {
			continue // its module's tests send it
		}
		t.Run(command[3], func(t *testing.T) {
			r := a.request(t, command[3])
			r.Header = http.Header{}
			for _, header := range headerText.FindAllStringSubmatch(command[2], -1) {
				r.Header.Set(header[1], strings.ReplaceAll(header[2], "$TOKEN", a.issuer.Token(nil)))
			}
			form, shown := example[2], example[3]
			if command[1] != "" {
				shown, _, _ = strings.Cut(shown, "\n\n")
				require.Regexp(t, begins(shown), a.beginning(t, r))
				return
			}
			got := a.send(t, r)
			if shown == "" {
				require.Equal(t, http.StatusOK, got.status, string(got.body))
				return
			}
			if form == "text" {
				require.Regexp(t, begins(shown)+"$", strings.ReplaceAll(string(got.body), "\r\n", "\n"))
				return
			}
			var want, have any
			require.NoError(t, json.Unmarshal([]byte(shown), &want))
			got.decode(t, &have)
			require.Equal(t, want, leaveOut(want, have))
		})
	}
}

// begins is the pattern of a text that begins as the guide shows.
func begins(shown string) string {
	return "^" + strings.ReplaceAll(regexp.QuoteMeta(shown), "…", "[^\n]+")
}

// beginning is the first block of an answer that does not end.
func (a *api) beginning(t *testing.T, r *http.Request) string {
	t.Helper()
	response, err := a.client.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	require.Equal(t, http.StatusOK, response.StatusCode)
	block := ""
	for lines := bufio.NewScanner(response.Body); lines.Scan() && lines.Text() != ""; {
		block += lines.Text() + "\n"
	}
	require.NotEmpty(t, block)
	return block
}

// leaveOut puts "…" where the guide does.
func leaveOut(want, have any) any {
	switch w := want.(type) {
	case string:
		if _, text := have.(string); text && w == "…" {
			return w
		}
	case map[string]any:
		if h, ok := have.(map[string]any); ok {
			for name := range h {
				h[name] = leaveOut(w[name], h[name])
			}
		}
	case []any:
		if h, ok := have.([]any); ok && len(h) == len(w) {
			for i := range h {
				h[i] = leaveOut(w[i], h[i])
			}
		}
	}
	return have
}

// The guide lists the codes that the specification lists, and no others.
func TestTheGuidesCodes(t *testing.T) {
	guide, err := os.ReadFile("../../docs/API.md")
	require.NoError(t, err)
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	codes := spec.Doc.Components.Schemas["ProblemCode"].Value
	var listed []any
	for _, row := range regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| \\d{3}(?:, \\d{3})* \\|").FindAllStringSubmatch(string(guide), -1) {
		listed = append(listed, row[1])
	}
	require.Equal(t, codes.Enum, listed)
}

// The examples of the specification are of the shapes that they stand for.
func TestTheSpecificationsExamples(t *testing.T) {
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	for name, ref := range spec.Doc.Components.Schemas {
		if ref.Value.Example != nil {
			require.NoError(t, ref.Value.VisitJSON(ref.Value.Example, openapi3.MultiErrors()), name)
			knowsAll(t, ref.Value, ref.Value.Example, name)
		}
	}
	for _, reason := range []event.Reason{event.EmptyValue, event.MalformedJSON, event.DuplicateMember, event.InvalidText,
		event.NumberOutOfRange, event.TooDeep, event.TooLarge, event.MissingField, event.InvalidField, event.EventIDConflict, event.StoreRejected} {
		require.Contains(t, spec.Doc.Components.Schemas["Reason"].Value.Enum, any(string(reason)))
	}
}

// knowsAll checks that an example has no member that its schema does not name: a comma that YAML takes for a
// separator makes one.
func knowsAll(t *testing.T, schema *openapi3.Schema, example any, path string) {
	t.Helper()
	switch example := example.(type) {
	case map[string]any:
		members := openapi3.Schemas{}
		for _, part := range append([]*openapi3.SchemaRef{{Value: schema}}, schema.AllOf...) {
			maps.Copy(members, part.Value.Properties)
		}
		if len(members) == 0 || schema.AdditionalProperties.Has != nil {
			return // any members
		}
		for name, value := range example {
			require.Contains(t, members, name, "%s has a member that its schema does not know", path)
			knowsAll(t, members[name].Value, value, path+"."+name)
		}
	case []any:
		for _, item := range example {
			knowsAll(t, schema.Items.Value, item, path+"[]")
		}
	}
}
