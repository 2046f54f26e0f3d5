package httpserver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/platform/errs"
	"audittrail/platform/httpserver"
)

// newServer makes a server that logs into the buffer.
func newServer(t testing.TB, opts httpserver.Options, log io.Writer, hooks ...httpserver.Hook) *httpserver.Server {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "127.0.0.1:0"
	}
	if opts.MaxRequests == 0 {
		opts.MaxRequests = 16
	}
	s, err := httpserver.New(opts, httpserver.Deps{
		Log: slog.New(slog.NewJSONHandler(log, nil)), Metrics: prometheus.NewRegistry(), Hooks: hooks, Drain: 5 * time.Second,
	})
	require.NoError(t, err)
	return s
}

func ask(s http.Handler, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func codeOf(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var p struct{ Code string }
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &p), w.Body.String())
	require.Equal(t, "application/problem+json", w.Header().Get("Content-Type"))
	return p.Code
}

func TestErrorsBecomeProblemsThatTellNothing(t *testing.T) {
	secret := errors.New("password=hunter2 at 10.0.0.1")
	for name, c := range map[string]struct {
		err    error
		status int
		code   string
	}{
		"invalid":         {errs.New(errs.Invalid, "invalid_parameter", "no").InField("limit").Because(secret), 400, "invalid_parameter"},
		"unauthenticated": {errs.New(errs.Unauthenticated, "unauthenticated", "no"), 401, "unauthenticated"},
		"forbidden":       {errs.New(errs.Forbidden, "forbidden", "no"), 403, "forbidden"},
		"not found":       {errs.New(errs.NotFound, "not_found", "no"), 404, "not_found"},
		"conflict":        {errs.New(errs.Conflict, "conflict", "no"), 409, "conflict"},
		"unprocessable":   {errs.New(errs.Unprocessable, "target_refused", "no"), 422, "target_refused"},
		"too expensive":   {errs.New(errs.TooExpensive, "query_too_expensive", "no"), 422, "query_too_expensive"},
		"unavailable":     {errs.New(errs.Unavailable, "unavailable", "no").Because(secret), 503, "unavailable"},
		"any other":       {secret, 500, "internal_error"},
		"the router's":    {echo.NewHTTPError(400, secret.Error()), 400, "invalid_request"},
		"the router's 5":  {echo.NewHTTPError(599, secret.Error()), 500, "internal_error"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, httpserver.Options{}, io.Discard)
			s.Echo().GET("/x", func(c echo.Context) error {
				_, _ = io.WriteString(c.Response(), "half an answer with hunter2")
				return c.JSON(200, "never seen")
			}, func(next echo.HandlerFunc) echo.HandlerFunc {
				return func(ctx echo.Context) error {
					_ = next(ctx)
					return c.err
				}
			})
			w := ask(s, "/x")
			require.Equal(t, c.status, w.Code)
			require.Equal(t, c.code, codeOf(t, w))
			require.NotContains(t, w.Body.String(), "hunter2")
			require.Equal(t, c.status == 401, w.Header().Get("WWW-Authenticate") != "")
			require.Equal(t, c.status == 503, w.Header().Get("Retry-After") != "")
			require.Contains(t, w.Header().Get("Cache-Control"), "no-store")
			require.NotEmpty(t, w.Header().Get("X-Correlation-Id"))
		})
	}
}

// RFC 6750, section 3: an error where there was a token, and none where there was none.
func TestA401SaysWhatIsWrongWithTheToken(t *testing.T) {
	for _, c := range []struct{ code, detail, want string }{
		{"unauthenticated", "send a token", `Bearer realm="audittrail"`},
		{"invalid_token", "the token's claims can't be read", `Bearer realm="audittrail", error="invalid_token", error_description="the token's claims can't be read"`},
		{"token_expired", "the token has expired", `Bearer realm="audittrail", error="invalid_token", error_description="the token has expired"`},
		{"invalid_token", "a \"quote\" \\, a\r\nline and é", `Bearer realm="audittrail", error="invalid_token", error_description="a quote , aline and "`},
	} {
		s := newServer(t, httpserver.Options{}, io.Discard)
		s.Echo().GET("/x", func(echo.Context) error { return errs.New(errs.Unauthenticated, c.code, "%s", c.detail) })
		w := ask(s, "/x")
		require.Equal(t, 401, w.Code)
		require.Equal(t, c.want, w.Header().Get("WWW-Authenticate"))
	}
}

func TestAPanicIsAnAnswer(t *testing.T) {
	var log bytes.Buffer
	s := newServer(t, httpserver.Options{}, &log)
	s.Echo().GET("/x", func(c echo.Context) error {
		_, _ = io.WriteString(c.Response(), "half")
		panic("hunter2")
	})
	w := ask(s, "/x")
	require.Equal(t, 500, w.Code)
	require.Equal(t, "internal_error", codeOf(t, w))
	require.NotContains(t, w.Body.String(), "hunter2")
	require.Contains(t, log.String(), "hunter2", "the log has what the answer hides")
	require.Equal(t, 404, ask(s, "/y").Code, "the server goes on")
}

// Nothing leaves before the hooks have let it go, whatever kind of answer it is.
func TestHooksHoldEveryAnswerBack(t *testing.T) {
	var seen []httpserver.Exchange
	refuse := false
	hook := func(ctx context.Context, x *httpserver.Exchange) error {
		seen = append(seen, *x)
		require.Same(t, x, httpserver.ExchangeOf(ctx))
		if refuse {
			return errors.New("the access log is away")
		}
		return nil
	}
	s := newServer(t, httpserver.Options{}, io.Discard, hook)
	s.Echo().GET("/good/:id", func(c echo.Context) error {
		httpserver.ShowEvents(c.Request().Context(), 3)
		c.Response().Header().Set("X-Secret", "hunter2")
		return c.String(200, "hunter2")
	})
	s.Echo().GET("/bad", func(c echo.Context) error {
		httpserver.ShowEvents(c.Request().Context(), 3)
		return errs.New(errs.Invalid, "invalid_parameter", "no")
	})
	s.Echo().GET("/panic", func(echo.Context) error { panic("x") })

	paths := []string{"/good/1", "/bad", "/panic", "/nowhere"}
	wanted := []struct {
		status, events int
		route          string
	}{{200, 3, "/good/{id}"}, {400, 0, "/bad"}, {500, 0, "/panic"}, {404, 0, "unmatched"}}
	for i, path := range paths {
		require.Equal(t, wanted[i].status, ask(s, path).Code)
		require.Equal(t, wanted[i].status, seen[i].Status)
		require.Equal(t, wanted[i].events, seen[i].Events, path)
		require.Equal(t, wanted[i].route, seen[i].Route)
	}
	refuse = true
	for _, path := range paths {
		w := ask(s, path)
		require.Equal(t, 503, w.Code)
		require.Equal(t, "unavailable", codeOf(t, w))
		require.NotContains(t, w.Body.String(), "hunter2")
		require.Empty(t, w.Header().Get("X-Secret"), "headers are held too")
	}
}

func TestTooManyRequestsAtOnce(t *testing.T) {
	s := newServer(t, httpserver.Options{MaxRequests: 2}, io.Discard)
	inside, leave := make(chan struct{}), make(chan struct{})
	s.Echo().GET("/x", func(c echo.Context) error {
		inside <- struct{}{}
		<-leave
		return c.NoContent(204)
	})
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() { ask(s, "/x") })
		<-inside
	}
	require.Equal(t, 503, ask(s, "/x").Code)
	close(leave)
	asking.Wait()
	require.Equal(t, 404, ask(s, "/y").Code)
}

func TestAnswersBeyondAnyPage(t *testing.T) {
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.Echo().GET("/x", func(c echo.Context) error { return c.Blob(200, "x/y", make([]byte, 25<<20)) })
	require.Equal(t, 500, ask(s, "/x").Code)
}

// run starts a server and answers its address and what stops it.
func run(t *testing.T, s *httpserver.Server) (address string, stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended, listening := make(chan error, 1), make(chan net.Addr, 1)
	go func() { ended <- s.Run(ctx, func(a net.Addr) { listening <- a }) }()
	stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = stop() })
	select {
	case a := <-listening:
		return a.String(), stop
	case err := <-ended:
		ended <- err
		t.Fatal(err)
		return "", nil
	}
}

func TestRequestsUnderWayEndBeforeTheServer(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := newServer(t, httpserver.Options{}, io.Discard)
	inside, leave := make(chan struct{}), make(chan struct{})
	s.Echo().GET("/x", func(c echo.Context) error {
		close(inside)
		<-leave
		return c.String(200, "done")
	})
	address, stop := run(t, s)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	got := make(chan string, 1)
	go func() {
		response, err := client.Get("http://" + address + "/x")
		if err != nil {
			got <- err.Error()
			return
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		got <- string(body)
	}()
	<-inside
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.Eventually(t, func() bool { // no new ones are taken
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 5*time.Second, 5*time.Millisecond)
	close(leave)
	require.Equal(t, "done", <-got)
	require.NoError(t, <-stopped)
}

// The request of a connection that was accepted before the listener closed is answered.
func TestTheLastConnectionIsAnswered(t *testing.T) {
	s := newServer(t, httpserver.Options{}, io.Discard)
	s.Echo().GET("/x", func(c echo.Context) error { return c.String(200, "done") })
	address, stop := run(t, s)
	ask := func(conn net.Conn) string {
		_, err := io.WriteString(conn, "GET /x HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		require.NoError(t, err)
		answer, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
		return string(answer)
	}
	last, err := net.Dial("tcp", address)
	require.NoError(t, err)
	next, err := net.Dial("tcp", address) // connections are accepted in turn
	require.NoError(t, err)
	require.Contains(t, ask(next), "done")
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.Eventually(t, func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	}, 5*time.Second, time.Millisecond)
	require.Contains(t, ask(last), "done")
	require.NoError(t, <-stopped)
}

func TestAddressesThatCanNotBeHad(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { _ = taken.Close() }()
	s := newServer(t, httpserver.Options{Addr: taken.Addr().String()}, io.Discard)
	require.ErrorContains(t, s.Run(t.Context(), func(net.Addr) {}), "http.addr")
}

func TestOptionsThatAreRefused(t *testing.T) {
	good := httpserver.Options{Addr: ":8080", MaxRequests: 1}
	for key, change := range map[string]func(*httpserver.Options){
		"addr":               func(o *httpserver.Options) { o.Addr = "8080" },
		"tls.cert":           func(o *httpserver.Options) { o.TLS.Key = "x" },
		"tls.client_ca":      func(o *httpserver.Options) { o.TLS.ClientCA = "x" },
		"trusted_proxies":    func(o *httpserver.Options) { o.TrustedProxies = []string{"10.0.0.1"} },
		"max_requests":       func(o *httpserver.Options) { o.MaxRequests = 0 },
		"rate_limit":         func(o *httpserver.Options) { o.RateLimit = -1 },
		"rate_limit_address": func(o *httpserver.Options) { o.RateLimitAddress = -1 },
	} {
		opts := good
		change(&opts)
		require.ErrorContains(t, opts.Validate(), key)
	}
	for _, addr := range []string{":65536", "127.0.0.1:-1", "127.0.0.1:http", "127.0.0.1:"} {
		require.ErrorContains(t, httpserver.Options{Addr: addr, MaxRequests: 1}.Validate(), "addr", addr)
	}
	require.NoError(t, good.Validate())
}

func TestStandardHeaders(t *testing.T) {
	for _, secure := range []bool{false, true} {
		s := newServer(t, httpserver.Options{TLSTerminated: secure}, io.Discard)
		h := ask(s, "/x").Header()
		require.Equal(t, "nosniff", h.Get("X-Content-Type-Options"))
		require.True(t, strings.HasPrefix(h.Get("Content-Security-Policy"), "default-src 'none'"))
		require.Equal(t, secure, h.Get("Strict-Transport-Security") != "")
	}
}
