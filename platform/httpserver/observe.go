package httpserver

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"audittrail/platform/telemetry"
)

// statusGone is what is logged for a caller that left before its answer (as nginx has it). It is sent to nobody.
const statusGone = 499

func newRequestSeconds(reg prometheus.Registerer) *prometheus.HistogramVec {
	h := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "audittrail_http_request_seconds",
		Help:    "Time from a request's head to its answer being handed to the network, by route pattern.",
		Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, []string{"route", "method", "status"})
	reg.MustRegister(h)
	return h
}

// Expect makes the series of a route's answers exist, at zero, before its first request.
func (s *Server) Expect(route, method string, statuses ...int) {
	for _, code := range statuses {
		s.seconds.WithLabelValues(route, method, strconv.Itoa(code))
	}
}

// observe writes the request's log line and its metric. The logger adds the context's correlation id.
func (s *Server) observe(x *Exchange) {
	took := time.Since(x.start)
	telemetry.Observe(x.Request.Context(), s.seconds.WithLabelValues(x.Route, methodLabel(x.Request.Method), strconv.Itoa(x.Status)), took.Seconds())
	s.log.LogAttrs(x.Request.Context(), slog.LevelInfo, "request",
		slog.String("method", methodLabel(x.Request.Method)),
		slog.String("route", x.Route),
		slog.Int("status", x.Status),
		slog.Duration("duration", took))
	if x.span != nil {
		endSpan(x)
	}
}

// beginSpan begins the request's span, beneath the one that the caller sent. It holds no path, no query and no header,
// which may tell what somebody looks for.
func (s *Server) beginSpan(ctx context.Context, x *Exchange, r *http.Request) context.Context {
	ctx = telemetry.Propagation().Extract(ctx, propagation.HeaderCarrier(r.Header))
	ctx, x.span = s.tracing.Tracer.Start(ctx, methodLabel(r.Method), trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.String("http.request.method", methodLabel(r.Method)), telemetry.CorrelationKey.String(x.CorrelationID)))
	return ctx
}

func endSpan(x *Exchange) {
	x.span.SetName(methodLabel(x.Request.Method) + " " + x.Route)
	x.span.SetAttributes(attribute.String("http.route", x.Route), attribute.Int("http.response.status_code", x.Status))
	if x.Status >= http.StatusInternalServerError {
		x.span.SetStatus(codes.Error, "")
	}
	x.span.End()
}

// logCause writes what the answer must not say. A part that is away is no fault of the program.
func (s *Server) logCause(x *Exchange, status int, err error) {
	level := slog.LevelError
	if status == http.StatusServiceUnavailable {
		level = slog.LevelWarn
	}
	s.log.LogAttrs(x.Request.Context(), level, "request failed",
		slog.String("route", x.Route),
		slog.Any("error", err))
}

// methodLabel bounds the label: a caller may send any word as a method.
func methodLabel(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch,
		http.MethodDelete, http.MethodOptions:
		return method
	default:
		return "other"
	}
}
