package logging

import (
	"context"
	"log/slog"
	"slices"

	"go.opentelemetry.io/otel/trace"
)

type correlationKey struct{}

// WithCorrelationID returns a context whose log lines carry the correlation id.
func WithCorrelationID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}

// CorrelationID is the context's correlation id; "" where it has none.
func CorrelationID(ctx context.Context) string {
	id, _ := ctx.Value(correlationKey{}).(string)
	return id
}

// idHandler adds the context's ids to every line, those of its correlation and of its span, at its top level: also to the lines of a logger with
// groups, for which the handler is built anew beneath the ids.
type idHandler struct {
	base    slog.Handler // without the groups and attributes of With
	next    slog.Handler // with them
	derive  []func(slog.Handler) slog.Handler
	grouped bool
}

func withIDs(next slog.Handler) slog.Handler { return &idHandler{base: next, next: next} }

func (h *idHandler) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *idHandler) Handle(ctx context.Context, r slog.Record) error {
	ids := idsOf(ctx)
	if len(ids) == 0 {
		return h.next.Handle(ctx, r)
	}
	if !h.grouped {
		r = r.Clone() // other handlers may share the record's attributes
		r.AddAttrs(ids...)
		return h.next.Handle(ctx, r)
	}
	next := h.base.WithAttrs(ids)
	for _, d := range h.derive {
		next = d(next)
	}
	return next.Handle(ctx, r)
}

func (h *idHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return h.with(func(n slog.Handler) slog.Handler { return n.WithAttrs(attrs) }, h.grouped)
}

func (h *idHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.with(func(n slog.Handler) slog.Handler { return n.WithGroup(name) }, true)
}

func (h *idHandler) with(d func(slog.Handler) slog.Handler, grouped bool) slog.Handler {
	return &idHandler{base: h.base, next: d(h.next), derive: append(slices.Clip(h.derive), d), grouped: grouped}
}

func idsOf(ctx context.Context) []slog.Attr {
	var ids []slog.Attr
	if id := CorrelationID(ctx); id != "" {
		ids = append(ids, slog.String("correlationId", id))
	}
	if span := trace.SpanContextFromContext(ctx); span.IsValid() {
		ids = append(ids, slog.String("traceId", span.TraceID().String()), slog.String("spanId", span.SpanID().String()))
	}
	return ids
}
