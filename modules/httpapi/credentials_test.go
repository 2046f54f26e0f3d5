package httpapi

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/httpserver"
)

// credentials are what a test needs to send good and forged tokens to every path that wants one.
type credentials struct {
	server *httpserver.Server
	issuer *authtest.Issuer
	second *authtest.Issuer // another issuer that is accepted, for its own audience
	paths  []string         // method and path of each operation that wants a token, and of a tile

	elsewhere string        // an address that tokens name, and that nobody may ask
	asked     *atomic.Int64 // how often the issuer's keys were read
}

// unreachable is an API whose operations are never reached: each of its methods panics.
type unreachable struct {
	StrictServerInterface
	Tiles
}

// newCredentials mounts the whole specification behind a verifier. The issuer publishes keys that nothing may be
// verified with, beside its good one.
func newCredentials(t *testing.T, unusable ...json.RawMessage) *credentials {
	t.Helper()
	c := &credentials{issuer: authtest.NewIssuer(t), second: authtest.NewIssuer(t), asked: new(atomic.Int64)}
	keys := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.asked.Add(1)
		if r.Method != http.MethodGet || r.URL.String() != "/keys" {
			t.Errorf("%s %s was asked", r.Method, r.URL)
		}
		var set struct {
			Keys []json.RawMessage `json:"keys"`
		}
		_ = json.Unmarshal(c.issuer.JWKS(), &set)
		set.Keys = append(set.Keys, unusable...)
		_ = json.NewEncoder(w).Encode(set)
	}))
	t.Cleanup(keys.Close)
	elsewhere := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("a token had %s asked", r.URL)
	}))
	t.Cleanup(elsewhere.Close)
	c.elsewhere = elsewhere.URL

	opts, second := c.issuer.Options(), c.second.Options()
	opts.JWKSFile, opts.JWKSURL = "", keys.URL+"/keys"
	opts.Issuers = []auth.IssuerOptions{{Issuer: "https://second.test", Audience: "second", JWKSFile: second.JWKSFile}}
	verifier, err := auth.NewVerifier(opts, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	require.NoError(t, verifier.Reload(t.Context()))

	spec, err := Load()
	require.NoError(t, err)
	c.server, err = httpserver.New(httpserver.Options{Addr: "127.0.0.1:0", MaxRequests: 8},
		httpserver.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	require.NoError(t, Mount(c.server, spec, Entrance{Verifier: verifier, Policy: access.NewPolicy(access.Options{})}, unreachable{}))
	for path, item := range spec.Doc.Paths.Map() {
		for method, op := range item.Operations() {
			if !isPublic(spec.Doc, op) {
				c.paths = append(c.paths, method+" "+regexp.MustCompile(`\{\w+\}`).ReplaceAllString(path, "x"))
			}
		}
	}
	c.paths = append(c.paths, "GET /v1/ledger/events/tile/0/000")
	require.Greater(t, len(c.paths), 10)
	return c
}

// send asks for what no path would answer, so that a credential which is accepted gets a 400.
func (c *credentials) send(path string, authorization ...string) *httptest.ResponseRecorder {
	method, path, _ := strings.Cut(path, " ")
	r := httptest.NewRequest(method, path+"?nonsense=1", http.NoBody)
	r.Header["Authorization"] = authorization
	w := httptest.NewRecorder()
	c.server.ServeHTTP(w, r)
	return w
}

func TestForgedAndBrokenCredentials(t *testing.T) {
	keys := newForgedKeys(t)
	c := newCredentials(t, keys.published...)
	forged := forgedCredentials(t, c, keys)
	require.Greater(t, len(forged), 100)
	for name, authorization := range forged {
		t.Run(name, func(t *testing.T) {
			for _, path := range c.paths {
				w := c.send(path, authorization...)
				require.Equal(t, http.StatusUnauthorized, w.Code, path)
				require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"), path)
				require.Contains(t, w.Header().Get("Cache-Control"), "no-store", path)
				var problem struct{ Code, Detail string }
				require.NoError(t, json.Unmarshal(w.Body.Bytes(), &problem), path)
				challenge := `Bearer realm="audittrail"`
				if problem.Code != "unauthenticated" {
					require.Contains(t, []string{"invalid_token", "token_expired"}, problem.Code, path)
					challenge += `, error="invalid_token", error_description="` + problem.Detail + `"`
				}
				require.Equal(t, challenge, w.Header().Get("WWW-Authenticate"), path)
				for _, sent := range authorization {
					_, token, _ := strings.Cut(sent, " ")
					require.False(t, len(token) > 8 && strings.Contains(w.Body.String(), token), "the answer quotes the token")
				}
			}
		})
	}
	require.LessOrEqual(t, c.asked.Load(), 3+int64(time.Since(keys.begun)/(5*time.Second)), "unknown keys do not multiply the fetches")
}

func TestCredentialsThatAreAcceptedEverywhere(t *testing.T) {
	c := newCredentials(t)
	for name, authorization := range map[string]string{
		"as is usual":                   "Bearer " + c.issuer.Token(nil),
		"the scheme in lower case":      "bearer " + c.issuer.Token(nil),
		"the scheme in capitals":        "BEARER " + c.issuer.Token(nil),
		"several audiences, ours among": "Bearer " + c.issuer.Token(map[string]any{"aud": []string{"other", "audittrail"}}),
		"the second issuer's":           "Bearer " + c.second.Token(map[string]any{"iss": "https://second.test", "aud": "second"}),
	} {
		for _, path := range c.paths {
			w := c.send(path, authorization)
			require.Equal(t, http.StatusBadRequest, w.Code, "%s: %s: %s", name, path, w.Body)
		}
	}
}
