package httpserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/errs"
)

// Limits of one connection. WriteTimeout leaves room for the longest wait of a feed and a slow statement.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 75 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	maxBodyBytes      = 1 << 20
)

// Hook is asked before an answer leaves. Where it returns an error the answer is withheld and the caller
// gets a 503 instead.
type Hook func(ctx context.Context, x *Exchange) error

// Deps is what a Server is made with.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Drain   time.Duration // how long requests under way may take to end at shutdown; 0 is 10 s
	Hooks   []Hook        // asked in this order
}

// Server is the API's HTTP server. Register routes on Echo before Run.
type Server struct {
	opts    Options
	log     *slog.Logger
	hooks   []Hook
	drain   time.Duration
	echo    *echo.Echo
	seconds *prometheus.HistogramVec
	slots   chan struct{} // one for each request under way
}

// New makes a server that does not listen yet.
func New(opts Options, deps Deps) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, log: deps.Log, hooks: deps.Hooks, drain: deps.Drain,
		echo: echo.New(), seconds: newRequestSeconds(deps.Metrics),
		slots: make(chan struct{}, opts.MaxRequests),
	}
	if s.drain == 0 {
		s.drain = 10 * time.Second
	}
	s.Expect(unmatched, http.MethodGet, http.StatusNotFound)
	s.echo.HTTPErrorHandler = func(err error, c echo.Context) {
		if w, ok := c.Response().Writer.(*heldWriter); ok {
			s.refuse(w, ExchangeOf(c.Request().Context()), err)
		}
	}
	s.echo.Use(noteRoute, refuseBody)
	return s, nil
}

// Echo is where routes are registered.
func (s *Server) Echo() *echo.Echo { return s.echo }

// Run listens, calls ready with the address that it got, and serves until ctx is cancelled. Then it takes
// no more requests and gives those under way the drain time. An address that can't be had, or a
// certificate that can't be read, is an error.
func (s *Server) Run(ctx context.Context, ready func(net.Addr)) error {
	tlsConfig, err := newTLS(s.opts.TLS, s.log)
	if err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.opts.Addr)
	if ctx.Err() != nil { // told to stop before it began
		if err == nil {
			_ = listener.Close() // nothing was accepted
		}
		return nil
	}
	if err != nil {
		return fmt.Errorf("http.addr: %w", err)
	}
	server := &http.Server{
		Handler:           s,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
	}
	served := make(chan error, 1)
	go func() {
		if tlsConfig != nil {
			served <- server.ServeTLS(listener, "", "")
			return
		}
		served <- server.Serve(listener)
	}()
	ready(listener.Addr())

	select {
	case err := <-served:
		return fmt.Errorf("serve http: %w", err)
	case <-ctx.Done():
	}
	return s.stop(server, served)
}

// stop drains and ends the server, and waits for its accept loop.
func (s *Server) stop(server *http.Server, served <-chan error) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.drain)
	defer cancel()
	err := server.Shutdown(ctx)
	if err != nil {
		s.log.Warn("requests were cut off at shutdown", slog.Duration("after", s.drain))
		err = server.Close()
	}
	if e := <-served; !errors.Is(e, http.ErrServerClosed) {
		return fmt.Errorf("serve http: %w", e)
	}
	return err
}

// ServeHTTP answers one request: everything that leaves the program by HTTP leaves through here.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, r := newExchange(r)
	held := newHeldWriter()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
		s.answer(held, x, r)
	default:
		s.refuse(held, x, errs.New(errs.Unavailable, "unavailable", "too many requests are under way; try again later"))
	}
	s.release(held, x, w)
	s.observe(x)
}

// answer has the handler fill held; a panic becomes a 500 that tells nothing.
func (s *Server) answer(held *heldWriter, x *Exchange, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.refuse(held, x, fmt.Errorf("panic: %v", p))
		}
	}()
	s.standardHeaders(held.Header(), x)
	if r.Body != nil {
		r.Body = http.MaxBytesReader(nil, r.Body, maxBodyBytes)
	}
	r.URL.RawPath = canonicalPath(r.URL)
	s.echo.ServeHTTP(held, r)
	if held.status == 0 {
		held.WriteHeader(http.StatusOK)
	}
}

// release asks the hooks, and sends what they let go.
func (s *Server) release(held *heldWriter, x *Exchange, w http.ResponseWriter) {
	x.Status = held.status
	for _, hook := range s.hooks {
		if err := hook(x.Request.Context(), x); err != nil {
			s.refuse(held, x, errs.New(errs.Unavailable, "unavailable", "the request can't be answered right now").Because(err))
			x.Status = held.status
			break
		}
	}
	if gone(x.Request.Context()) {
		x.Status = statusGone
	}
	held.release(w)
}

// standardHeaders are on every answer. A handler that serves pages replaces the content security policy.
func (s *Server) standardHeaders(h http.Header, x *Exchange) {
	h.Set(CorrelationHeader, x.CorrelationID)
	h.Set(echo.HeaderXContentTypeOptions, "nosniff")
	h.Set(echo.HeaderContentSecurityPolicy, "default-src 'none'; frame-ancestors 'none'")
	h.Set(echo.HeaderXFrameOptions, "DENY")
	h.Set(echo.HeaderReferrerPolicy, "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if s.opts.secure() {
		h.Set(echo.HeaderStrictTransportSecurity, "max-age=31536000")
	}
}

// canonicalPath is the path with each segment escaped in one way. The router then sees one spelling of a
// route, and path parameters are always escaped, so that they are unescaped exactly once: net/http leaves
// RawPath empty for some paths, and "100%25" and "a%2Fb" would otherwise be told apart by guessing.
func canonicalPath(u *url.URL) string {
	segments := strings.Split(u.EscapedPath(), "/")
	for i, segment := range segments {
		if plain, err := url.PathUnescape(segment); err == nil {
			segments[i] = url.PathEscape(plain)
		}
	}
	return strings.Join(segments, "/")
}

// noteRoute keeps the pattern that fitted. Echo gives a pattern's last parameter all that is left of the
// path; one that holds a slash is more segments than the pattern has, and no such path.
func noteRoute(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		for i, value := range c.ParamValues() {
			if c.ParamNames()[i] != "*" && strings.Contains(value, "/") {
				return echo.ErrNotFound
			}
		}
		if c.Path() != "" {
			ExchangeOf(c.Request().Context()).Route = c.Path()
		}
		return next(c)
	}
}

// refuseBody refuses a body where none can be meant.
func refuseBody(next echo.HandlerFunc) echo.HandlerFunc {
	return func(c echo.Context) error {
		r := c.Request()
		if (r.Method == http.MethodGet || r.Method == http.MethodHead) && r.ContentLength != 0 {
			return echo.NewHTTPError(http.StatusRequestEntityTooLarge)
		}
		return next(c)
	}
}
