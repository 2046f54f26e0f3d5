package httpserver_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// limited is a server that takes the header Authorization for the principal's name.
func limited(t *testing.T, opts httpserver.Options, shared ...httpserver.SharedLimit) *httpserver.Server {
	t.Helper()
	s := newServer(t, opts, io.Discard)
	if len(shared) > 0 {
		opts.Addr, opts.MaxRequests = "127.0.0.1:0", 16
		var err error
		s, err = httpserver.New(opts, httpserver.Deps{Log: slog.New(slog.DiscardHandler), Metrics: prometheus.NewRegistry(), Shared: shared[0]})
		require.NoError(t, err)
	}
	s.Echo().GET("/x", func(c echo.Context) error {
		principal := c.Request().Header.Get("Authorization")
		if principal == "" {
			return errs.New(errs.Unauthenticated, "unauthenticated", "no")
		}
		if err := httpserver.ExchangeOf(c.Request().Context()).Accept(principal); err != nil {
			return err
		}
		if c.QueryParam("bad") != "" {
			return errs.New(errs.Invalid, "invalid_parameter", "no")
		}
		return c.NoContent(http.StatusNoContent)
	})
	return s
}

func askAs(s http.Handler, path, principal, address string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodGet, path, nil)
	r.RemoteAddr = address + ":1"
	if principal != "" {
		r.Header.Set("Authorization", principal)
	}
	s.ServeHTTP(w, r)
	return w
}

// One token in 1,000 s: no clock matters.
func TestPrincipalsAreLimited(t *testing.T) {
	s := limited(t, httpserver.Options{RateLimit: 0.001})
	w := askAs(s, "/x?bad=1", "ann", "192.0.2.1")
	require.Equal(t, http.StatusBadRequest, w.Code, "it counts, too")
	require.Equal(t, `"principal";q=1;w=1000`, w.Header().Get("RateLimit-Policy"))
	require.Equal(t, `"principal";r=0;t=1000`, w.Header().Get("RateLimit"))

	w = askAs(s, "/x", "ann", "192.0.2.2")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "rate_limited", codeOf(t, w))
	require.Equal(t, "1000", w.Header().Get("Retry-After"))
	require.Equal(t, `"principal";r=0;t=1000`, w.Header().Get("RateLimit"))
	require.NotEmpty(t, w.Header().Get("RateLimit-Policy"))

	require.Equal(t, http.StatusNoContent, askAs(s, "/x", "bob", "192.0.2.1").Code, "another has a limit of its own")
	w = askAs(s, "/x", "", "192.0.2.1")
	require.Equal(t, http.StatusUnauthorized, w.Code)
	require.Empty(t, w.Header().Get("RateLimit"))
}

func TestManyRequestsAtOnceAreWithinALimit(t *testing.T) {
	s := limited(t, httpserver.Options{RateLimit: 50})
	for i := range 50 {
		require.Equal(t, http.StatusNoContent, askAs(s, "/x", "ann", "192.0.2.1").Code, i)
	}
	s = limited(t, httpserver.Options{})
	w := askAs(s, "/x", "ann", "192.0.2.1")
	require.Empty(t, w.Header().Get("RateLimit"), "no limit")
}

func TestRefusalsWithoutATokenAreLimitedByAddress(t *testing.T) {
	s := limited(t, httpserver.Options{RateLimitAddress: 0.001, TrustedProxies: []string{"10.0.0.0/8"}})
	require.Equal(t, http.StatusUnauthorized, askAs(s, "/x", "", "192.0.2.1").Code)
	w := askAs(s, "/x", "", "192.0.2.1")
	require.Equal(t, http.StatusTooManyRequests, w.Code)
	require.Equal(t, "rate_limited", codeOf(t, w))
	require.Equal(t, "1000", w.Header().Get("Retry-After"))
	require.Equal(t, http.StatusTooManyRequests, askAs(s, "/nowhere", "", "192.0.2.1").Code, "any refusal counts")
	require.Equal(t, http.StatusNoContent, askAs(s, "/x", "ann", "192.0.2.1").Code, "who has a token is not refused")
	require.Equal(t, http.StatusBadRequest, askAs(s, "/x?bad=1", "ann", "192.0.2.1").Code)

	require.Equal(t, http.StatusUnauthorized, askAs(s, "/x", "", "[2001:db8::1]").Code)
	require.Equal(t, http.StatusTooManyRequests, askAs(s, "/x", "", "[2001:db8::2]").Code, "the same /64")
	require.Equal(t, http.StatusUnauthorized, askAs(s, "/x", "", "[2001:db8:0:1::1]").Code)
}

func TestRefusalsWithoutATokenAreLimitedForAll(t *testing.T) {
	s := limited(t, httpserver.Options{RateLimitAddress: 0.001})
	for i := range 50 {
		require.Equal(t, http.StatusUnauthorized, askAs(s, "/x", "", fmt.Sprintf("192.0.2.%d", i)).Code, i)
	}
	require.Equal(t, http.StatusTooManyRequests, askAs(s, "/x", "", "192.0.2.50").Code)
	require.Equal(t, http.StatusNoContent, askAs(s, "/x", "ann", "192.0.2.51").Code)
}

// sharedLimit grants what is left, or fails.
type sharedLimit struct {
	left float64
	err  error
}

func (l *sharedLimit) Take(context.Context, string, float64, float64) (float64, bool, error) {
	if l.left < 1 {
		return l.left, false, l.err
	}
	l.left--
	return l.left, true, l.err
}

// What processes share decides; where it can't be asked, each counts for itself.
func TestLimitsAreShared(t *testing.T) {
	l := &sharedLimit{left: 2}
	s := limited(t, httpserver.Options{RateLimit: 0.001}, l)
	for _, want := range []int{http.StatusNoContent, http.StatusNoContent, http.StatusTooManyRequests} {
		require.Equal(t, want, askAs(s, "/x", "ann", "192.0.2.1").Code)
	}
	l.err = io.ErrUnexpectedEOF
	for _, want := range []int{http.StatusNoContent, http.StatusTooManyRequests} {
		require.Equal(t, want, askAs(s, "/x", "ann", "192.0.2.1").Code)
	}
}
