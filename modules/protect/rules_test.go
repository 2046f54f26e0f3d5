package protect

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

func TestRulesAreChecked(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rules []RuleOptions
		wrong string
	}{
		"member":                        {[]RuleOptions{{EventType: "Order*", Path: "$.payload.customer.email", Subject: "$.payload.customer.id"}}, ""},
		"each element":                  {[]RuleOptions{{EventType: "*", Path: "$.payload.lines[*].name", Subject: "$.payload.lines[*].owner"}}, ""},
		"quoted name":                   {[]RuleOptions{{EventType: "*", Path: `$.payload["a.b"]`}}, ""},
		"own subject":                   {[]RuleOptions{{EventType: "*", Path: "$.metadata.userId", Subject: "$.metadata.userId"}}, ""},
		"subject within":                {[]RuleOptions{{EventType: "*", Path: "$.payload.customer", Subject: "$.payload.customer.id"}}, ""},
		"correlation id":                {[]RuleOptions{{EventType: "*", Path: "$.metadata.correlationId"}}, "correlationId"},
		"causation id":                  {[]RuleOptions{{EventType: "*", Path: "$.metadata.causationId"}}, "causationId"},
		"source":                        {[]RuleOptions{{EventType: "*", Path: "$.metadata.source"}}, "source"},
		"trace id":                      {[]RuleOptions{{EventType: "*", Path: "$.metadata.traceId"}}, "traceId"},
		"identifier":                    {[]RuleOptions{{EventType: "*", Path: "$.aggregateId"}}, "payload or metadata"},
		"whole payload":                 {[]RuleOptions{{EventType: "*", Path: "$.payload"}}, "payload or metadata"},
		"no path":                       {[]RuleOptions{{EventType: "*", Path: "payload.email"}}, "must be a path"},
		"no type":                       {[]RuleOptions{{Path: "$.payload.email"}}, "eventType"},
		"another array":                 {[]RuleOptions{{EventType: "*", Path: "$.payload.email", Subject: "$.payload.people[*].id"}}, "arrays"},
		"subject sealed for another":    {[]RuleOptions{{EventType: "*", Path: "$.payload.email", Subject: "$.payload.id"}, {EventType: "Order*", Path: "$.payload.id"}}, "itself sealed"},
		"other types never meet":        {[]RuleOptions{{EventType: "A", Path: "$.payload.email", Subject: "$.payload.id"}, {EventType: "B", Path: "$.payload.id"}}, ""},
		"subject sealed by outer parts": {[]RuleOptions{{EventType: "*", Path: "$.payload.email", Subject: "$.payload.c.id"}, {EventType: "*", Path: "$.payload.c"}}, "itself sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := NewRules(c.rules)
			if c.wrong == "" {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, c.wrong)
		})
	}
}

func TestSubjects(t *testing.T) {
	t.Parallel()
	e := &event.Event{
		AggregateType: "Order", AggregateID: "7",
		Payload:  []byte(`{"a":{"id":"C-1"},"b":[{"id":1},{"id":null}],"n":12.5}`),
		Metadata: []byte(`{"userId":"u"}`),
	}
	for path, want := range map[string]string{
		"$.payload.a.id": "C-1", "$.payload.n": "12.5", "$.payload.a": "Order/7", "$.payload.none.id": "Order/7", "$.metadata.userId": "u", "$.aggregateId": "7",
	} {
		p, err := parsePath(path)
		require.NoError(t, err)
		require.Equal(t, want, p.of(e, nil), path)
	}
	p, err := parsePath("$.payload.b[*].id")
	require.NoError(t, err)
	require.Equal(t, "1", p.of(e, []int{0}))
	require.Equal(t, "Order/7", p.of(e, []int{1}))
	require.Equal(t, "Order/7", path{}.of(e, nil))

	p, err = parsePath("$.payload.id")
	require.NoError(t, err)
	for text, want := range map[string]string{ // nobody could ask to erase the others
		strings.Repeat("é", MaxSubject): strings.Repeat("é", MaxSubject), strings.Repeat("é", MaxSubject+1): "Order/7",
		`a\nb`: "Order/7", `\u0085`: "Order/7", `\u202e`: "\u202e",
	} {
		e.Payload, err = event.Canonicalize(nil, []byte(`{"id":"`+text+`"}`))
		require.NoError(t, err)
		require.Equal(t, want, p.of(e, nil))
	}
}

func TestQueriesHoldNoSealedValues(t *testing.T) {
	t.Parallel()
	r, err := NewRules([]RuleOptions{{EventType: "A", Path: "$.payload.lines[*].name"}, {EventType: "B", Path: "$.payload.customer"}, {EventType: "B", Path: "$.metadata.userId"}})
	require.NoError(t, err)
	query := map[string][]string{
		"payload": {`{"lines": [{"name": "Ann", "sku": "x"}]}`, `{"customer":{"email":"a@b"},"total":3}`, "no JSON"}, "userId": {"ann"}, "source": {"shop"},
	}
	r.MaskQuery(query)
	elements, err := NewRules([]RuleOptions{{EventType: "A", Path: "$.payload[*]"}})
	require.NoError(t, err)
	bare := map[string][]string{"payload": {`"Ann"`}}
	elements.MaskQuery(bare)
	require.Equal(t, map[string][]string{"payload": {`{"$sealed":true}`}}, bare)
	require.Equal(t, map[string][]string{
		"payload": {`{"lines":[{"name":{"$sealed":true},"sku":"x"}]}`, `{"customer":{"$sealed":true},"total":3}`}, "userId": {`{"$sealed":true}`}, "source": {"shop"},
	}, query)
}
