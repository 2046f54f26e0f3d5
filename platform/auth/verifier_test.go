package auth_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"
	"github.com/lestrrat-go/jwx/v2/jws"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/errs"
)

func newVerifier(t testing.TB, opts auth.Options) *auth.Verifier {
	t.Helper()
	v, err := auth.NewVerifier(opts, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return v
}

func TestAcceptedTokens(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	v := newVerifier(t, issuer.Options())
	soon := time.Now().Add(20 * time.Second)
	for name, changes := range map[string]map[string]any{
		"plain":                      nil,
		"several audiences":          {"aud": []string{"other", "audittrail"}},
		"expired within the skew":    {"exp": time.Now().Add(-10 * time.Second).Unix()},
		"begins within the skew":     {"nbf": soon.Unix(), "iat": soon.Unix()},
		"an expiry with a fraction":  {"exp": float64(soon.UnixMilli()) / 1000},
		"no time of issue":           {"iat": nil, "nbf": nil},
		"a client without a user":    {"sub": nil, "client_id": "tester"},
		"a member that is not known": {"events": map[string]any{}},
	} {
		t.Run(name, func(t *testing.T) {
			for _, scheme := range []string{"Bearer ", "bearer "} {
				p, err := v.Bearer(t.Context(), []string{scheme + issuer.Token(changes)})
				require.NoError(t, err)
				require.Equal(t, "tester", p.Subject)
				require.False(t, p.ExpiresAt.IsZero())
			}
		})
	}
}

// Each algorithm works with its own kind of key and with no other.
func TestAlgorithmsAndKeys(t *testing.T) {
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	require.NoError(t, err)
	keys := map[string]crypto.Signer{
		"rsa": strong, "ed": edwards, "p256": curve(t, elliptic.P256()), "p384": curve(t, elliptic.P384()), "p521": curve(t, elliptic.P521()),
	}
	set := jwk.NewSet()
	for name, key := range keys {
		public, err := jwk.FromRaw(key.Public())
		require.NoError(t, err)
		require.NoError(t, public.Set(jwk.KeyIDKey, name))
		require.NoError(t, set.AddKey(public))
	}
	opts := fileOptions(t, set)
	v := newVerifier(t, opts)
	good := map[jwa.SignatureAlgorithm]string{
		jwa.RS256: "rsa", jwa.RS384: "rsa", jwa.RS512: "rsa", jwa.PS256: "rsa", jwa.PS384: "rsa", jwa.PS512: "rsa",
		jwa.ES256: "p256", jwa.ES384: "p384", jwa.ES512: "p521", jwa.EdDSA: "ed",
	}
	for alg, name := range good {
		_, err := v.Verify(t.Context(), sign(t, alg, keys[name], name, opts))
		require.NoError(t, err, alg)
		_, err = v.Verify(t.Context(), sign(t, alg, keys[name], "", opts))
		require.NoError(t, err, "%s without a key id", alg)
		for other := range keys {
			if other != name {
				_, err = v.Verify(t.Context(), sign(t, alg, keys[name], other, opts))
				require.Equal(t, "invalid_token", errs.Of(err).Code, "%s said to be by %s", alg, other)
			}
		}
	}
}

func curve(t testing.TB, c elliptic.Curve) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(c, rand.Reader)
	require.NoError(t, err)
	return key
}

func fileOptions(t testing.TB, set any) auth.Options {
	t.Helper()
	doc, err := json.Marshal(set)
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "jwks.json")
	require.NoError(t, os.WriteFile(file, doc, 0o600))
	return auth.Options{Issuer: "https://issuer.test", Audience: "audittrail", JWKSFile: file, RolesClaim: "roles"}
}

func sign(t testing.TB, alg jwa.SignatureAlgorithm, key any, id string, opts auth.Options) string {
	t.Helper()
	headers := jws.NewHeaders()
	if id != "" {
		require.NoError(t, headers.Set(jws.KeyIDKey, id))
	}
	payload, err := json.Marshal(map[string]any{"iss": opts.Issuer, "aud": opts.Audience, "sub": "x", "exp": time.Now().Add(time.Hour).Unix()})
	require.NoError(t, err)
	token, err := jws.Sign(payload, jws.WithKey(alg, key, jws.WithProtectedHeaders(headers)))
	require.NoError(t, err)
	return string(token)
}

// Keys that must not verify anything: symmetric, too short, for encryption, of another algorithm.
func TestKeysThatAreNotUsed(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	good := curve(t, elliptic.P256())
	for name, c := range map[string]struct {
		key    any
		signer any
		alg    jwa.SignatureAlgorithm
		set    map[string]any
	}{
		"symmetric":         {[]byte("0123456789abcdef0123456789abcdef"), []byte("0123456789abcdef0123456789abcdef"), jwa.HS256, nil},
		"too short":         {weak.Public(), weak, jwa.RS256, nil},
		"for encryption":    {good.Public(), good, jwa.ES256, map[string]any{jwk.KeyUsageKey: "enc"}},
		"for signing":       {good.Public(), good, jwa.ES256, map[string]any{jwk.KeyOpsKey: jwk.KeyOperationList{jwk.KeyOpSign}}},
		"another algorithm": {good.Public(), good, jwa.ES256, map[string]any{jwk.AlgorithmKey: jwa.ES384}},
	} {
		t.Run(name, func(t *testing.T) {
			key, err := jwk.FromRaw(c.key)
			require.NoError(t, err)
			require.NoError(t, key.Set(jwk.KeyIDKey, "k"))
			for name, value := range c.set {
				require.NoError(t, key.Set(name, value))
			}
			other, err := jwk.FromRaw(curve(t, elliptic.P256()).Public())
			require.NoError(t, err)
			set := jwk.NewSet()
			require.NoError(t, set.AddKey(key))
			require.NoError(t, set.AddKey(other))
			opts := fileOptions(t, set)
			_, err = newVerifier(t, opts).Verify(t.Context(), sign(t, c.alg, c.signer, "k", opts))
			require.Equal(t, "invalid_token", errs.Of(err).Code)
		})
	}
}

// issuerServer publishes an issuer's keys, counts who asks, and can be away.
type issuerServer struct {
	*httptest.Server
	issuer *authtest.Issuer
	away   atomic.Bool
	asked  atomic.Int64
}

func newIssuerServer(t testing.TB) *issuerServer {
	t.Helper()
	s := &issuerServer{issuer: authtest.NewIssuer(t)}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		s.asked.Add(1)
		if s.away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write(s.issuer.JWKS())
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *issuerServer) options() auth.Options {
	opts := s.issuer.Options()
	opts.JWKSFile, opts.JWKSURL = "", s.URL+"/keys"
	return opts
}

func TestAnIssuerThatIsAwayAtStart(t *testing.T) {
	s := newIssuerServer(t)
	s.away.Store(true)
	v := newVerifier(t, s.options())
	require.Error(t, v.Health())
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { v.Run(ctx) })
	defer running.Wait()
	defer cancel()

	for range 50 {
		_, err := v.Verify(t.Context(), s.issuer.Token(nil))
		require.Equal(t, errs.Unavailable, errs.Of(err).Kind, "nobody is let in without keys")
	}
	require.LessOrEqual(t, s.asked.Load(), int64(5), "callers do not multiply the fetches")
	s.away.Store(false)
	require.Eventually(t, func() bool { return v.Health() == nil }, time.Minute, 20*time.Millisecond)
	_, err := v.Verify(t.Context(), s.issuer.Token(nil))
	require.NoError(t, err)
}

func TestUnknownKeysAreFetchedButNotOften(t *testing.T) {
	s := newIssuerServer(t)
	clock := newClock()
	v := auth.WithClock(newVerifier(t, s.options()), clock.now)
	old := s.issuer.Token(nil)
	_, err := v.Verify(t.Context(), old)
	require.NoError(t, err, "the first request fetches")
	require.Equal(t, int64(1), s.asked.Load())

	s.issuer.Rotate()
	fresh := s.issuer.Token(nil)
	_, err = v.Verify(t.Context(), fresh)
	require.Equal(t, "invalid_token", errs.Of(err).Code, "fetched a moment ago")
	clock.add(10 * time.Second)
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			_, err := v.Verify(t.Context(), fresh)
			if err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	require.Equal(t, int64(2), s.asked.Load(), "all callers share one fetch")
	_, err = v.Verify(t.Context(), old)
	require.Equal(t, "invalid_token", errs.Of(err).Code, "the old key is withdrawn")
}

// Whether an unknown key is the issuer's can't be told while the issuer is away.
func TestAKeyRotatedWhileTheIssuerIsAway(t *testing.T) {
	s := newIssuerServer(t)
	clock := newClock()
	v := auth.WithClock(newVerifier(t, s.options()), clock.now)
	_, err := v.Verify(t.Context(), s.issuer.Token(nil))
	require.NoError(t, err)
	s.issuer.Rotate()
	s.away.Store(true)
	clock.add(10 * time.Second)
	before := s.asked.Load()
	for range 20 {
		_, err = v.Verify(t.Context(), s.issuer.Token(nil))
		require.Equal(t, "unavailable", errs.Of(err).Code)
	}
	require.Equal(t, before+1, s.asked.Load(), "the failed fetch is not repeated at once")
	s.away.Store(false)
	clock.add(10 * time.Second)
	_, err = v.Verify(t.Context(), s.issuer.Token(nil))
	require.NoError(t, err)
}

// A token need not name its key: one that fits none of the keys may be signed by a new one.
func TestATokenWithoutAKeyIDAfterARotation(t *testing.T) {
	s := newIssuerServer(t)
	clock := newClock()
	v := auth.WithClock(newVerifier(t, s.options()), clock.now)
	_, err := v.Verify(t.Context(), s.issuer.SignWithoutID())
	require.NoError(t, err)
	s.issuer.Rotate()
	s.away.Store(true)
	clock.add(10 * time.Second)
	_, err = v.Verify(t.Context(), s.issuer.SignWithoutID())
	require.Equal(t, "unavailable", errs.Of(err).Code)
	s.away.Store(false)
	clock.add(10 * time.Second)
	_, err = v.Verify(t.Context(), s.issuer.SignWithoutID())
	require.NoError(t, err)
	before := s.asked.Load()
	for range 20 { // which anybody can send
		_, err = v.Verify(t.Context(), authtest.NewIssuer(t).SignWithoutID())
		require.Equal(t, "invalid_token", errs.Of(err).Code)
	}
	require.Equal(t, before, s.asked.Load(), "the fetch is not repeated at once")
}

func TestBearerWithSeveralSpacesAndLongTokens(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	v := newVerifier(t, issuer.Options())
	_, err := v.Bearer(t.Context(), []string{"Bearer   " + issuer.Token(nil)})
	require.NoError(t, err)
	_, err = v.Bearer(t.Context(), []string{"Bearer   "})
	require.Equal(t, "unauthenticated", errs.Of(err).Code)
	_, err = v.Verify(t.Context(), issuer.Token(map[string]any{"pad": strings.Repeat("x", 16<<10)}))
	require.Contains(t, errs.Of(err).Detail, "16 KiB")
}

func TestKeysThatCanNotBeRefreshedEnd(t *testing.T) {
	s := newIssuerServer(t)
	clock := newClock()
	v := auth.WithClock(newVerifier(t, s.options()), clock.now)
	token := s.issuer.Token(map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()})
	_, err := v.Verify(t.Context(), token)
	require.NoError(t, err)
	s.away.Store(true)
	clock.add(59 * time.Minute)
	_, err = v.Verify(t.Context(), token)
	require.NoError(t, err)
	clock.add(2 * time.Minute)
	require.False(t, auth.Remembers(v, token))
	_, err = v.Verify(t.Context(), token)
	require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
	require.Error(t, v.Health())
}

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func newClock() *clock { return &clock{at: time.Now()} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

func TestKeySetsThatCanNotBeUsed(t *testing.T) {
	for name, doc := range map[string][]byte{
		"not JSON": []byte("nonsense"), "empty": []byte(`{"keys":[]}`), "too large": bytes.Repeat([]byte(" "), 1<<20+1),
	} {
		t.Run(name, func(t *testing.T) {
			opts := fileOptions(t, nil)
			require.NoError(t, os.WriteFile(opts.JWKSFile, doc, 0o600))
			_, err := newVerifier(t, opts).Verify(t.Context(), authtest.NewIssuer(t).Token(nil))
			require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
		})
	}
}

// The keys that are redirected to are good ones and can be reached: the redirect alone is what is refused.
func TestRedirectsAreNotFollowed(t *testing.T) {
	s := newIssuerServer(t)
	elsewhere := httptest.NewServer(http.RedirectHandler(s.URL, http.StatusFound))
	t.Cleanup(elsewhere.Close)
	opts := s.options()
	opts.JWKSURL = elsewhere.URL
	v := newVerifier(t, opts)
	require.ErrorContains(t, v.Reload(t.Context()), "redirects are not followed")
	_, err := v.Verify(t.Context(), s.issuer.Token(nil))
	require.Equal(t, errs.Unavailable, errs.Of(err).Kind)
	require.Zero(t, s.asked.Load())
}

// Both tokens are signed rightly, so that nothing but what is said of them can be the reason.
func TestRightlySignedTokensThatAreRefused(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	v := newVerifier(t, issuer.Options())
	for name, token := range map[string]string{
		"issued in the future": issuer.Token(map[string]any{"iat": time.Now().Add(time.Hour).Unix()}),
		"a critical header":    issuer.SignWith(map[string]any{"crit": []string{"x"}, "x": 1}),
		"a logout token":       issuer.SignWith(map[string]any{"typ": "logout+jwt"}),
	} {
		_, err := v.Verify(t.Context(), token)
		require.Equal(t, "invalid_token", errs.Of(err).Code, name)
	}
	for name, value := range map[string]any{"x": 1, "typ": "application/AT+JWT"} {
		_, err := v.Verify(t.Context(), issuer.SignWith(map[string]any{name: value}))
		require.NoError(t, err, name)
	}
}

func TestOptions(t *testing.T) {
	good := auth.Options{Issuer: "i", Audience: "a", JWKSURL: "https://issuer.test/keys", RolesClaim: "roles"}
	for name, c := range map[string]struct {
		change func(*auth.Options)
		says   string
	}{
		"plain http":                     {func(o *auth.Options) { o.JWKSURL = "http://issuer.test/keys" }, "jwks_url"},
		"a name like ours":               {func(o *auth.Options) { o.JWKSURL = "http://localhost.issuer.test/keys" }, "jwks_url"},
		"another scheme":                 {func(o *auth.Options) { o.JWKSURL = "file:///etc/passwd" }, "jwks_url"},
		"both sources":                   {func(o *auth.Options) { o.JWKSFile = "x" }, "jwks_url"},
		"no source":                      {func(o *auth.Options) { o.JWKSURL = "" }, "auth.jwks_url"},
		"no issuer":                      {func(o *auth.Options) { o.Issuer = "" }, "auth.issuer"},
		"no audience":                    {func(o *auth.Options) { o.Audience = "" }, "auth.audience"},
		"nothing":                        {func(o *auth.Options) { *o = auth.Options{RolesClaim: "roles"} }, "auth.issuer must be given, or auth.issuers"},
		"an authority that nobody needs": {func(o *auth.Options) { o.JWKSURL, o.JWKSFile, o.CA = "", "x", "y" }, "ca is given"},
		"an entry without an issuer":     {func(o *auth.Options) { o.Issuers = []auth.IssuerOptions{{Audience: "a", JWKSFile: "f"}} }, "auth.issuers[0].issuer"},
		"an entry without an audience":   {func(o *auth.Options) { o.Issuers = []auth.IssuerOptions{{Issuer: "j", JWKSFile: "f"}} }, "auth.issuers[0].audience"},
		"an entry without keys":          {func(o *auth.Options) { o.Issuers = []auth.IssuerOptions{{Issuer: "j", Audience: "a"}} }, "auth.issuers[0].jwks_url"},
		"an entry with both sources": {func(o *auth.Options) {
			o.Issuers = []auth.IssuerOptions{{Issuer: "j", Audience: "a", JWKSFile: "f", JWKSURL: "https://j"}}
		}, "issuers[0].jwks_url"},
		"an issuer twice": {func(o *auth.Options) { o.Issuers = []auth.IssuerOptions{{Issuer: "i", Audience: "a", JWKSFile: "f"}} }, "issuers[0].issuer names"},
	} {
		t.Run(name, func(t *testing.T) {
			opts := good
			c.change(&opts)
			_, err := auth.NewVerifier(opts, slog.New(slog.DiscardHandler))
			require.ErrorContains(t, err, c.says)
		})
	}
	for _, url := range []string{"http://localhost:1/k", "http://127.0.0.9/k", "http://[::1]:8/k", "https://issuer.test"} {
		opts := good
		opts.JWKSURL = url
		newVerifier(t, opts)
	}
}

func TestRunEnds(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	v := newVerifier(t, authtest.NewIssuer(t).Options())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v.Run(ctx)
}

func TestUnknownKeysDoNotMakeEverybodyWait(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	asked, answer := make(chan struct{}, 100), make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked <- struct{}{}
		<-answer
		_, _ = w.Write(issuer.JWKS())
	}))
	t.Cleanup(slow.Close)
	opts := issuer.Options()
	opts.JWKSFile, opts.JWKSURL = "", slow.URL
	v := newVerifier(t, opts)
	const callers = 100
	results := make(chan error, callers)
	for range callers {
		go func() {
			_, err := v.Verify(t.Context(), issuer.Token(nil))
			results <- err
		}()
	}
	<-asked
	for range callers - 32 {
		require.Equal(t, errs.Unavailable, errs.Of(<-results).Kind, "refused at once, while the issuer still thinks")
	}
	close(answer)
	for range 32 {
		require.NoError(t, <-results)
	}
	require.Empty(t, asked)
}

// BenchmarkVerify has the same token verified again and again, as a client that works for an hour sends it.
func BenchmarkVerify(b *testing.B) {
	issuer := authtest.NewIssuer(b)
	v := newVerifier(b, issuer.Options())
	token := issuer.Token(nil)
	for b.Loop() {
		_, err := v.Verify(b.Context(), token)
		require.NoError(b, err)
	}
}
