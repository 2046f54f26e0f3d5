package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/labstack/echo/v4"
	"github.com/stretchr/testify/require"

	"audittrail/platform/errs"
)

func testBody(t *testing.T) requestBody {
	t.Helper()
	text := openapi3.NewStringSchema().WithMinLength(1).WithMaxLength(3)
	number := openapi3.NewFloat64Schema().WithMin(0).WithExclusiveMin(true).WithMax(10)
	inner := openapi3.NewObjectSchema().WithProperty("names", openapi3.NewArraySchema().WithItems(text).WithMinItems(1).WithMaxItems(2)).
		WithProperty("any", openapi3.NewSchema()).WithProperty("kind", openapi3.NewStringSchema().WithEnum("a", "b"))
	schema := openapi3.NewObjectSchema().WithProperty("text", text).WithProperty("count", openapi3.NewInt64Schema().WithMin(1)).
		WithProperty("line", openapi3.NewStringSchema().WithFormat("line").WithMinLength(1).WithMaxLength(20)).WithProperty("speed", number).WithProperty("dry", openapi3.NewBoolSchema()).WithProperty("inner", inner)
	schema.Required = []string{"text"}
	body, err := bodyOf(&openapi3.Operation{RequestBody: &openapi3.RequestBodyRef{Value: openapi3.NewRequestBody().WithRequired(true).WithJSONSchema(schema)}})
	require.NoError(t, err)
	return body
}

// Each fault of a body names the member, and never quotes its value.
func TestBodies(t *testing.T) {
	rule := testBody(t).rule
	send := func(text string) error {
		r := httptest.NewRequest(http.MethodPost, "/", nil)
		r.Header.Set(contentType, "application/json; charset=utf-8")
		_, err := checkedBody(r, []byte(text), rule)
		return err
	}
	require.NoError(t, send(`{"text":"a\u202eb","line":"שלום, \u200dא"}`), "a text of a filter has to match what is stored; joiners belong to their scripts")
	require.NoError(t, send(`{"text":"äöü","count":5.0,"speed":0.1,"dry":true,"inner":{"names":["a","b"],"any":{"x":[1]},"kind":"a"}}`))
	for text, field := range map[string]string{
		`{}`:                                           "text",
		`[]`:                                           "body",
		`{"text":5}`:                                   "text",
		`{"text":""}`:                                  "text",
		`{"text":"abcd"}`:                              "text",
		`{"text":null}`:                                "text",
		`{"text":"a","Text":"a"}`:                      "Text",
		`{"text":"a","line":""}`:                       "line",
		`{"text":"a","line":"a\nb"}`:                   "line",
		`{"text":"a","line":"a\u009bb"}`:               "line",
		`{"text":"a","line":"a\u061cb"}`:               "line",
		`{"text":"a","line":"a\u200eb"}`:               "line",
		`{"text":"a","line":"a\u2028b"}`:               "line",
		`{"text":"a","line":"a\u2029b"}`:               "line",
		`{"text":"a","line":"a\u202ab"}`:               "line",
		`{"text":"a","line":"a\u202eb"}`:               "line",
		`{"text":"a","line":"a\u2066b"}`:               "line",
		`{"text":"a","line":"a\u2069b"}`:               "line",
		`{"text":"a","count":0}`:                       "count",
		`{"text":"a","count":1.5}`:                     "count",
		`{"text":"a","count":"5"}`:                     "count",
		`{"text":"a","count":1e99}`:                    "count",
		`{"text":"a","speed":0}`:                       "speed",
		`{"text":"a","speed":10.5}`:                    "speed",
		`{"text":"a","speed":"1"}`:                     "speed",
		`{"text":"a","dry":"true"}`:                    "dry",
		`{"text":"a","inner":[]}`:                      "inner",
		`{"text":"a","inner":{"names":[]}}`:            "inner.names",
		`{"text":"a","inner":{"names":"a"}}`:           "inner.names",
		`{"text":"a","inner":{"names":["a",1]}}`:       "inner.names",
		`{"text":"a","inner":{"names":["a","b","c"]}}`: "inner.names",
		`{"text":"a","inner":{"kind":"c"}}`:            "inner.kind",
		`{"text":"a","inner":{"nmaes":["a"]}}`:         "inner.nmaes",
	} {
		err := send(text)
		require.Error(t, err, text)
		require.Equal(t, field, errs.Of(err).Field, text)
		require.Equal(t, "invalid_parameter", errs.Of(err).Code, text)
	}
	for _, text := range []string{`{`, `{"text":"a"} {}`, `{"text":"a","text":"b"}`, `nonsense`} {
		require.Equal(t, "invalid_request", errs.Of(send(text)).Code, text)
	}
}

// Who decides says why, and others read it.
func TestEveryReasonIsALine(t *testing.T) {
	spec, err := Load()
	require.NoError(t, err)
	reasons := 0
	for path, item := range spec.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			if op.RequestBody == nil {
				continue
			}
			if reason := op.RequestBody.Value.Content[jsonType].Schema.Value.Properties["reason"]; reason != nil {
				reasons++
				require.Equal(t, "line", reason.Value.Format, "%s %s", method, path)
			}
		}
	}
	require.NotZero(t, reasons)
}

func TestBodiesThatAreNotTaken(t *testing.T) {
	for name, c := range map[string]struct {
		body   requestBody
		text   string
		kind   string
		status int // 0: let through
	}{
		"none wanted, none sent":   {requestBody{}, "", "", 0},
		"none wanted, one sent":    {requestBody{}, "{}", "application/json", http.StatusRequestEntityTooLarge},
		"one wanted":               {testBody(t), `{"text":"a"}`, "application/json", 0},
		"none sent":                {testBody(t), ``, "application/json", http.StatusBadRequest},
		"without a type":           {testBody(t), `{"text":"a"}`, "", http.StatusBadRequest},
		"of another type":          {testBody(t), `{"text":"a"}`, "application/x-www-form-urlencoded", http.StatusBadRequest},
		"one may be sent, or none": {requestBody{rule: testBody(t).rule}, "", "", 0},
	} {
		r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(c.text))
		r.Header.Set(contentType, c.kind)
		err := wantBody(c.body)(func(echo.Context) error { return nil })(echo.New().NewContext(r, httptest.NewRecorder()))
		var refused *echo.HTTPError
		switch {
		case c.status == 0:
			require.NoError(t, err, name)
		case c.status == http.StatusRequestEntityTooLarge:
			require.ErrorAs(t, err, &refused, name)
			require.Equal(t, c.status, refused.Code, name)
		default:
			require.Equal(t, errs.Invalid, errs.Of(err).Kind, name)
		}
	}
}
