package httpapi

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/errs"
)

func TestPayloadPatterns(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		canonical string
		indexed   bool
	}{
		`{"b": 1.0, "a":null}`:           {`{"a":null,"b":1}`, true},
		`{"lines":[{"sku":"A\u002d1"}]}`: {`{"lines":[{"sku":"A-1"}]}`, true},
		`{"a":{"name":{}}}`:              {`{"a":{"name":{}}}`, false},
		`{"a":[[],{}]}`:                  {`{"a":[[],{}]}`, false},
		`[]`:                             {`[]`, false},
		`"text"`:                         {`"text"`, true},
		`false`:                          {`false`, true},
		`{"a":{"x":"$sealed"}}`:          {`{"a":{"x":"$sealed"}}`, true},
	} {
		pattern, indexed, err := patternOf(text)
		require.NoError(t, err, text)
		require.Equal(t, want.canonical, string(pattern), text)
		require.Equal(t, want.indexed, indexed, text)
	}
	for _, text := range []string{``, `{`, `{"a":1}{"b":2}`, `{"a":1,"a":2}`, `{"$sealed":1}`, `[{"x":{"\u0024erased":true}}]`, `1e99999`, "{\"a\":\"\\u0000\"}"} {
		_, _, err := patternOf(text)
		require.Error(t, err, text)
		require.Equal(t, "payload", errs.Of(err).Field, text)
		require.NotContains(t, errs.Of(err).Error(), "99999")
	}
}

// A pattern that no index helps with is looked for in a bounded time alone.
func TestPayloadPatternsWithoutScalarsWantATime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	pattern := `{"lines":[]}`
	for _, c := range []struct {
		from, to string
		fits     bool
	}{
		{"", "", false}, {"", "2026-03-01T00:00:00Z", false},
		{"2026-01-29T00:00:00Z", "2026-03-01T00:00:00Z", true}, {"2026-01-28T23:59:59Z", "2026-03-01T00:00:00Z", false},
		{"2026-01-29T00:00:00Z", "", true}, {"2026-01-28T00:00:00Z", "", false},
	} {
		s := Search{Payload: &pattern}
		if c.from != "" {
			s.From = &c.from
		}
		if c.to != "" {
			s.To = &c.to
		}
		_, err := s.Filter(now)
		require.Equal(t, c.fits, err == nil, "%v %v", c, err)
	}
}
