package auth_test

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/errs"
)

// The keys of both issuers have the same id: nothing but iss says whose key counts.
func TestEachIssuerSignsForItselfAlone(t *testing.T) {
	first, second := authtest.NewIssuer(t), newIssuerServer(t)
	opts := first.Options()
	opts.Issuers = []auth.IssuerOptions{{Issuer: "https://second.test", Audience: "other", JWKSURL: second.URL, RolesClaim: "groups"}}
	v := newVerifier(t, opts)
	seconds := map[string]any{"iss": "https://second.test", "aud": "other", "groups": "viewer"}

	for name, c := range map[string]struct {
		token, says string
		roles       []string
	}{
		"the first one's":            {first.Token(nil), "", []string{"admin"}},
		"the second one's":           {second.issuer.Token(seconds), "", []string{"viewer"}},
		"the first as the second":    {first.Token(seconds), "not signed by a key of the issuer", nil},
		"the second as the first":    {second.issuer.Token(nil), "not signed by a key of the issuer", nil},
		"the other one's audience":   {second.issuer.Token(map[string]any{"iss": "https://second.test"}), "another audience", nil},
		"spelled in another way":     {first.Token(map[string]any{"iss": first.Options().Issuer + "/"}), "not one whose tokens", nil},
		"no issuer":                  {first.Token(map[string]any{"iss": nil}), "not one whose tokens", nil},
		"an issuer that is a list":   {first.Token(map[string]any{"iss": []string{first.Options().Issuer}}), "claims can't be read", nil},
		"an issuer that is not ours": {first.Token(map[string]any{"iss": second.URL}), "not one whose tokens", nil},
	} {
		p, err := v.Verify(t.Context(), c.token)
		if c.says == "" {
			require.NoError(t, err, name)
			require.Equal(t, c.roles, p.Roles, name)
			continue
		}
		require.Equal(t, "invalid_token", errs.Of(err).Code, name)
		require.Contains(t, errs.Of(err).Detail, c.says, name)
	}
}

// Two issuers give the same sub to two people.
func TestCallersOfTwoIssuersAreNeverOne(t *testing.T) {
	first, second, third := authtest.NewIssuer(t), authtest.NewIssuer(t), authtest.NewIssuer(t)
	opts := first.Options()
	opts.Issuers = []auth.IssuerOptions{
		{Issuer: "https://second.test", Audience: "audittrail", JWKSFile: second.Options().JWKSFile},
		{Issuer: "https://third.test", Audience: "audittrail", JWKSFile: third.Options().JWKSFile, Prefix: "corp:"},
	}
	v := newVerifier(t, opts)
	name := func(i *authtest.Issuer, iss any, sub string) string {
		claims := map[string]any{"sub": sub}
		if iss != nil {
			claims["iss"] = iss
		}
		p, err := v.Verify(t.Context(), i.Token(claims))
		if err != nil {
			require.Equal(t, "invalid_token", errs.Of(err).Code)
			return ""
		}
		return p.Subject
	}
	require.Equal(t, "alice", name(first, nil, "alice"))
	require.Equal(t, "https://second.test#alice", name(second, "https://second.test", "alice"))
	require.Equal(t, "corp:alice", name(third, "https://third.test", "alice"))
	require.Empty(t, name(first, nil, "corp:alice"), "it is another issuer's caller's name")
	require.Empty(t, name(first, nil, "https://second.test#alice"))

	opts.Issuers[1].Prefix = "-"
	v = newVerifier(t, opts)
	require.Equal(t, "alice", name(third, "https://third.test", "alice"), "as its operator wants it")
	for _, prefix := range []string{"https://second.test#", "https://second", "https://second.test#x", "a\nb"} {
		opts.Issuers[1].Prefix = prefix
		require.ErrorContains(t, opts.Validate(), "issuers[1].principal_prefix", prefix)
	}
}

// Who holds tokens of one issuer does not suffer from another that is away.
func TestOneIssuerOfSeveralIsAway(t *testing.T) {
	here, away := authtest.NewIssuer(t), newIssuerServer(t)
	away.away.Store(true)
	opts := here.Options()
	opts.Issuers = []auth.IssuerOptions{{Issuer: "https://away.test", Audience: "audittrail", JWKSURL: away.URL}}
	v := newVerifier(t, opts)
	require.Error(t, v.Health(), "nothing was read yet")
	require.Error(t, v.Reload(t.Context()), "one can't be read")
	require.NoError(t, v.Health())
	_, err := v.Verify(t.Context(), here.Token(nil))
	require.NoError(t, err)
	_, err = v.Verify(t.Context(), away.issuer.Token(map[string]any{"iss": "https://away.test"}))
	require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
}

// provider is an issuer that publishes metadata, and keys where those say.
type provider struct {
	*httptest.Server
	issuer   *authtest.Issuer
	metadata atomic.Pointer[map[string]any]
}

func newProvider(t testing.TB) *provider {
	t.Helper()
	p := &provider{issuer: authtest.NewIssuer(t)}
	p.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/realms/shop/.well-known/openid-configuration":
			_ = json.NewEncoder(w).Encode(*p.metadata.Load())
		case "/certs":
			_, _ = w.Write(p.issuer.JWKS())
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(p.Close)
	p.says(p.URL+"/realms/shop", p.URL+"/certs")
	return p
}

func (p *provider) says(issuer, keys string) {
	p.metadata.Store(&map[string]any{"issuer": issuer, "jwks_uri": keys, "token_endpoint": p.URL + "/token"})
}

func (p *provider) verifier(t testing.TB, issuer string) *auth.Verifier {
	t.Helper()
	return newVerifier(t, auth.Options{Issuer: issuer, Audience: "audittrail", RolesClaim: "roles"})
}

func TestKeysAreDiscovered(t *testing.T) {
	p := newProvider(t)
	for _, issuer := range []string{p.URL + "/realms/shop", p.URL + "/realms/shop/"} { // one slash more, as Auth0 has it
		p.says(issuer, p.URL+"/certs")
		v := p.verifier(t, issuer)
		_, err := v.Verify(t.Context(), p.issuer.Token(map[string]any{"iss": issuer}))
		require.NoError(t, err)
		_, err = v.Verify(t.Context(), p.issuer.Token(nil))
		require.Equal(t, "invalid_token", errs.Of(err).Code)
	}
	require.False(t, auth.Discovers("audittrail-dev"))
	require.True(t, auth.Discovers("https://login.example.com/"))
}

func TestMetadataThatAreNotTrusted(t *testing.T) {
	p := newProvider(t)
	issuer := p.URL + "/realms/shop"
	for name, c := range map[string]struct {
		issuer, keys string
		says         string
	}{
		"of another issuer":    {p.URL + "/realms/other", p.URL + "/certs", "another issuer"},
		"with a slash":         {issuer + "/", p.URL + "/certs", "another issuer"},
		"no issuer":            {"", p.URL + "/certs", "another issuer"},
		"no keys":              {issuer, "", "jwks_uri"},
		"keys by plain http":   {issuer, strings.Replace(p.URL, "127.0.0.1", "0.0.0.0", 1) + "/certs", "jwks_uri"},
		"keys in a file":       {issuer, "file:///etc/passwd", "jwks_uri"},
		"keys that are not up": {issuer, p.URL + "/none", "404"},
	} {
		p.says(c.issuer, c.keys)
		require.ErrorContains(t, p.verifier(t, issuer).Reload(context.Background()), c.says, name)
	}
	huge := map[string]any{"issuer": issuer, "jwks_uri": p.URL + "/certs", "x": strings.Repeat("x", 1<<20)}
	p.metadata.Store(&huge)
	require.ErrorContains(t, p.verifier(t, issuer).Reload(context.Background()), "larger than")
}

// An issuer elsewhere must not send the server to a port of its own machine.
func TestKeysOfAnIssuerElsewhereAreNotReadFromThisMachine(t *testing.T) {
	for keys, fine := range map[string]bool{"https://keys.test/k": true, "http://127.0.0.1:9090/k": false} {
		_, err := auth.KeysAddress([]byte(`{"issuer":"https://issuer.test","jwks_uri":"`+keys+`"}`), "https://issuer.test")
		require.Equal(t, fine, err == nil, keys)
	}
}
