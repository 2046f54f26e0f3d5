package auth_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/auth/authtest"
	"audittrail/platform/errs"
)

func TestRolesOfAToken(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	many := slices.Repeat([]string{"viewer"}, 100)
	for name, c := range map[string]struct {
		path   string
		claims map[string]any
		want   []string
		says   string // what the refusal says; "" where the token is accepted
	}{
		"a list":                 {"roles", map[string]any{"roles": []string{"viewer", "auditor"}}, []string{"viewer", "auditor"}, ""},
		"a text":                 {"scope", map[string]any{"scope": "  viewer  auditor "}, []string{"viewer", "auditor"}, ""},
		"no claim":               {"groups", nil, nil, ""},
		"null":                   {"groups", map[string]any{"groups": json.RawMessage("null")}, nil, ""},
		"an empty list":          {"roles", map[string]any{"roles": []string{}}, nil, ""},
		"nested":                 {"realm_access.roles", map[string]any{"realm_access": map[string]any{"roles": []string{"viewer"}}}, []string{"viewer"}, ""},
		"nested deeper":          {"a.b.c", map[string]any{"a": map[string]any{"b": map[string]any{"c": "viewer"}}}, []string{"viewer"}, ""},
		"a name with dots":       {"https://example.com/roles", map[string]any{"https://example.com/roles": []string{"viewer"}}, []string{"viewer"}, ""},
		"a nested name has dots": {"access.my.app", map[string]any{"access": map[string]any{"my.app": "viewer"}}, []string{"viewer"}, ""},
		"a path through a text":  {"roles.admin", map[string]any{"roles": "admin"}, nil, ""},
		"as many as there may":   {"roles", map[string]any{"roles": many}, many, ""},
		"a number":               {"roles", map[string]any{"roles": 1}, nil, "neither a text nor a list"},
		"an object":              {"roles", map[string]any{"roles": map[string]any{"admin": true}}, nil, "neither a text nor a list"},
		"a list with a number":   {"roles", map[string]any{"roles": []any{"admin", 1}}, nil, "neither a text nor a list"},
		"a list with null":       {"roles", map[string]any{"roles": []any{nil}}, nil, "neither a text nor a list"},
		"as long as it may be":   {"roles", map[string]any{"roles": []string{strings.Repeat("é", 255)}}, []string{strings.Repeat("é", 255)}, ""},
		"too many":               {"roles", map[string]any{"roles": slices.Repeat([]string{"r"}, 101)}, nil, "more than 100"},
		"too many in a text":     {"roles", map[string]any{"roles": strings.Repeat("r ", 101)}, nil, "more than 100"},
		"a NUL":                  {"roles", map[string]any{"roles": []string{"a\x00"}}, nil, "control characters"},
		"too long":               {"roles", map[string]any{"roles": []string{strings.Repeat("é", 256)}}, nil, "255 characters"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := issuer.Options()
			opts.RolesClaim = c.path
			principal, err := newVerifier(t, opts).Verify(t.Context(), issuer.Token(c.claims))
			if c.says != "" {
				require.Equal(t, "invalid_token", errs.Of(err).Code)
				require.Contains(t, errs.Of(err).Detail, c.says)
				return
			}
			require.NoError(t, err)
			require.Equal(t, c.want, principal.Roles)
		})
	}
}
