package httpserver

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/labstack/echo/v4"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/errs"
	"audittrail/platform/telemetry"
)

// maxBodyBytes bounds a request's body.
const maxBodyBytes = 1 << 20

// Hook is asked before an answer leaves. Where it returns an error the answer is withheld and the caller
// gets a 503 instead.
type Hook func(ctx context.Context, x *Exchange) error

// Deps is what a Server is made with.
type Deps struct {
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Tracing *telemetry.Tracing // nil: requests have no spans
	Drain   time.Duration      // how long requests under way may take to end at shutdown; 0 is 10 s
	Hooks   []Hook             // asked in this order
	Shared  SharedLimit        // of principals, with other processes; may be nil
}

// Server is the API's HTTP server. Register routes on Echo before Run.
type Server struct {
	opts    Options
	log     *slog.Logger
	hooks   []Hook
	tracing *telemetry.Tracing
	drain   time.Duration
	pace    time.Duration // streamPace, but in tests
	least   streamRate    // of leastBytes, but in tests
	proxies proxies
	limits  limits
	echo    *echo.Echo
	seconds *prometheus.HistogramVec
	slots   chan struct{} // one for each request under way
	held    atomic.Int64  // bytes of answers that have not left yet

	draining atomic.Bool                  // see Drain
	certs    atomic.Pointer[certificates] // nil without TLS, and before Run
}

// New makes a server that does not listen yet.
func New(opts Options, deps Deps) (*Server, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	trusted, err := parseProxies(opts.TrustedProxies)
	if err != nil {
		return nil, err
	}
	s := &Server{
		opts: opts, log: deps.Log, hooks: deps.Hooks, tracing: deps.Tracing, drain: deps.Drain, pace: streamPace, least: streamRate{leastBytes, leastWithin},
		proxies: trusted, limits: newLimits(opts, deps.Shared), echo: echo.New(), seconds: newRequestSeconds(deps.Metrics),
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

// ServeHTTP answers one request: everything that leaves the program by HTTP leaves through here.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, r := s.newExchange(r)
	peekBody(r)
	held := newHeldWriter(&s.held)
	held.exchange = x
	held.below, held.pace, held.least, held.bodiless = w, s.pace, s.least, r.Method == http.MethodHead
	held.begin, held.progress = func(status int) error { return s.startStream(held, x, status) }, s.askProgress
	defer held.reset()
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
		s.answer(held, x, r)
	default:
		s.refuse(held, x, errs.New(errs.Unavailable, "unavailable", "too many requests are under way; try again later"))
	}
	if held.stream == nil {
		s.release(held, x, w)
		s.observe(x)
		return
	}
	cut := s.endStream(held, x)
	s.observe(x)
	if cut {
		panic(http.ErrAbortHandler) // net/http's way to end a connection in the middle of an answer
	}
}

// answer has the handler fill held; a panic becomes a 500 that tells nothing.
func (s *Server) answer(held *heldWriter, x *Exchange, r *http.Request) {
	defer func() {
		if p := recover(); p != nil {
			s.refuse(held, x, fmt.Errorf("panic: %v", p))
		}
	}()
	s.standardHeaders(held.Header(), x)
	if _, broken := r.Body.(brokenBody); r.Body != nil && !broken {
		r.Body = http.MaxBytesReader(nil, r.Body, maxBodyBytes)
	}
	if s.isPreflight(r) {
		answerPreflight(held)
		return
	}
	joinConditions(r.Header)
	r.URL.RawPath = canonicalPath(r.URL)
	s.echo.ServeHTTP(held, routed(r))
	allowHead(held.Header())
	if held.status == 0 {
		held.WriteHeader(http.StatusOK)
	}
}

// release asks the hooks, and sends what they let go.
func (s *Server) release(held *heldWriter, x *Exchange, w http.ResponseWriter) {
	x.Status = held.status
	if err := s.askHooks(x); err != nil {
		s.refuse(held, x, err)
		x.Status = held.status
	}
	if gone(x.Request.Context()) {
		x.Status = statusGone
	}
	s.finish(held.header, x)
	held.release(w)
}

// finish adds the headers that no handler knows of, and that no refusal takes away.
func (s *Server) finish(h http.Header, x *Exchange) {
	s.closing(h)
	s.quotaHeaders(h, x)
	s.corsHeaders(h, x.Request)
}

// askHooks asks all hooks; the first that refuses decides.
func (s *Server) askHooks(x *Exchange) error {
	for _, hook := range s.hooks {
		if err := hook(x.Request.Context(), x); err != nil {
			return errs.New(errs.Unavailable, "unavailable", "the request can't be answered right now").Because(err)
		}
	}
	return nil
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
