package telemetry

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"audittrail/platform/logging"
)

// CorrelationKey is the attribute of a span that holds its request's or record's correlation id.
const CorrelationKey = attribute.Key("audittrail.correlation_id")

// Tracing makes spans. A nil *Tracing is tracing that is off: whoever has one makes none.
type Tracing struct {
	Tracer   trace.Tracer
	Provider trace.TracerProvider // for libraries; see quiet

	// FollowsParent says that what has a parent is sampled where the parent is. Then nothing has to be made for a parent
	// that is not.
	FollowsParent bool
}

// Scope names the program's own instrumentation in what is sent.
const Scope = "audittrail"

// NewTracing makes spans with a provider. followsParent is as in Tracing.
func NewTracing(p trace.TracerProvider, followsParent bool) *Tracing {
	return &Tracing{Tracer: p.Tracer(Scope), Provider: quiet{TracerProvider: p}, FollowsParent: followsParent}
}

// Propagation reads W3C Trace Context, the one form that is understood.
func Propagation() propagation.TextMapPropagator { return propagation.TraceContext{} }

// Root begins a span in a trace of its own, for work that nobody asked for just now. Where tracing is off there is none. The
// caller MUST end it.
func (t *Tracing) Root(ctx context.Context, name string, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	if t == nil {
		return ctx, noop.Span{}
	}
	return t.Tracer.Start(ctx, name, trace.WithNewRoot(), trace.WithAttributes(attributes...))
}

// Within begins a span beneath the context's, where that is recorded. The caller MUST end it.
func Within(ctx context.Context, name string) (context.Context, trace.Span) {
	above := trace.SpanFromContext(ctx)
	if !above.IsRecording() {
		return ctx, noop.Span{}
	}
	return above.TracerProvider().Tracer(Scope).Start(ctx, name)
}

// Fail marks a span as failed. The error's text is left out: a library's may quote a value of a record.
func Fail(span trace.Span, err error) {
	if err == nil {
		return
	}
	span.SetStatus(codes.Error, "")
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		span.SetAttributes(attribute.String("db.response.status_code", refused.Code))
	}
}

// maxExemplarID is how long a correlation id may be that an exemplar has room for: OpenMetrics allows 128 characters in
// all.
const maxExemplarID = 128 - len("trace_id") - 32 - len("span_id") - 16 - len("correlation_id")

// Observe observes a duration, with the context's span and correlation id as an exemplar where the span is sampled.
func Observe(ctx context.Context, o prometheus.Observer, seconds float64) {
	span := trace.SpanContextFromContext(ctx)
	with, ok := o.(prometheus.ExemplarObserver)
	if !span.IsSampled() || !ok {
		o.Observe(seconds)
		return
	}
	labels := prometheus.Labels{"trace_id": span.TraceID().String(), "span_id": span.SpanID().String()}
	if id := logging.CorrelationID(ctx); id != "" && len(id) <= maxExemplarID {
		labels["correlation_id"] = id
	}
	with.ObserveWithExemplar(seconds, labels)
}
