package auth_test

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
)

// The issuer rotates its keys under load, and is away for a minute after each rotation, while somebody sends
// tokens by keys that nobody knows. No token by a key that was known before is refused.
func TestRotationUnderLoad(t *testing.T) {
	issuer := authtest.NewIssuer(t)
	var published atomic.Pointer[[]byte]
	var away atomic.Bool
	var asked atomic.Int64
	publish := func() {
		doc := issuer.JWKS()
		published.Store(&doc)
	}
	publish()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		if away.Load() {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		_, _ = w.Write(*published.Load())
	}))
	t.Cleanup(server.Close)
	opts := issuer.Options()
	opts.JWKSFile, opts.JWKSURL = "", server.URL
	clock := newClock()
	begun := clock.now()
	v := auth.WithClock(newVerifier(t, opts), clock.now)

	fresh := func() string { return issuer.Token(map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()}) }
	good := fresh()
	_, err := v.Verify(t.Context(), good)
	require.NoError(t, err)
	var known atomic.Pointer[[]string] // tokens by keys that the verifier has read
	known.Store(&[]string{good})
	forged := authtest.NewIssuer(t).SignRaw(`{"alg":"ES256","kid":"unknown"}`, `{"iss":"https://issuer.test"}`)

	var done atomic.Bool
	var accepted, refused atomic.Int64
	var load sync.WaitGroup
	for range 4 {
		load.Go(func() {
			for !done.Load() {
				for _, token := range *known.Load() {
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Errorf("a token by a known key: %v", err)
						return
					}
					accepted.Add(1)
				}
			}
		})
	}
	load.Go(func() {
		for !done.Load() {
			if _, err := v.Verify(t.Context(), forged); err == nil {
				t.Error("a forged token was accepted")
			}
			refused.Add(1)
		}
	})
	progress := func(n *atomic.Int64) {
		t.Helper()
		before := n.Load()
		require.Eventually(t, func() bool { return n.Load() > before+4 }, time.Minute, time.Millisecond)
	}

	const rotations = 5
	for range rotations {
		issuer.RotateKeepingOld()
		publish()
		token := fresh()
		require.Eventually(t, func() bool { // forged tokens have the keys read, too: then this one is known already
			clock.add(6 * time.Second)
			_, err := v.Verify(t.Context(), token)
			return err == nil
		}, 10*time.Second, time.Millisecond)
		tokens := append([]string{token}, *known.Load()...)
		known.Store(&tokens)
		away.Store(true)
		for range 12 {
			clock.add(5 * time.Second)
			progress(&accepted)
		}
		progress(&refused)
		away.Store(false)
	}
	done.Store(true)
	load.Wait()
	require.Len(t, *known.Load(), rotations+1)
	// At most a fetch each 5 s of the clock's time, however many forged tokens there were.
	require.LessOrEqual(t, asked.Load(), 2+int64(clock.now().Sub(begun)/(5*time.Second)))
}
