package telemetry

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// quiet is a provider for libraries that write the text of errors into their spans. PostgreSQL's may quote a value of a
// record: here only what kind of error it was is kept.
type quiet struct{ trace.TracerProvider }

func (q quiet) Tracer(name string, opts ...trace.TracerOption) trace.Tracer {
	return quietTracer{q.TracerProvider.Tracer(name, opts...)}
}

type quietTracer struct{ trace.Tracer }

func (q quietTracer) Start(ctx context.Context, name string, opts ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := q.Tracer.Start(ctx, name, opts...)
	if !span.IsRecording() {
		return ctx, span
	}
	s := quietSpan{span}
	return trace.ContextWithSpan(ctx, s), s
}

type quietSpan struct{ trace.Span }

func (s quietSpan) RecordError(err error, _ ...trace.EventOption) {
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		s.SetAttributes(attribute.String("error.type", "timeout"))
	case errors.Is(err, context.Canceled):
		s.SetAttributes(attribute.String("error.type", "cancelled"))
	default:
		Fail(s.Span, err)
	}
}

func (s quietSpan) SetStatus(code codes.Code, _ string) { s.Span.SetStatus(code, "") }
