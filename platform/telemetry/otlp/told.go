package otlp

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"

	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// told logs that a collector can't be reached, and that it can be again. The SDK itself would print each failure to
// stderr, in a form of its own.
type told struct {
	log    *slog.Logger
	what   string
	failed atomic.Bool
}

func (t *told) tell(ctx context.Context, err error) error {
	switch {
	case err != nil && !errors.Is(ctx.Err(), context.Canceled) && !t.failed.Swap(true):
		t.log.WarnContext(ctx, "this can't be sent by OTLP, and is dropped until it can", "what", t.what, "error", err)
	case err == nil && t.failed.Swap(false):
		t.log.InfoContext(ctx, "this is sent by OTLP again", "what", t.what)
	}
	return nil
}

type toldSpans struct {
	sdktrace.SpanExporter
	told *told
}

func (s toldSpans) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	return s.told.tell(ctx, s.SpanExporter.ExportSpans(ctx, spans))
}

type toldLogs struct {
	sdklog.Exporter
	told *told
}

func (l toldLogs) Export(ctx context.Context, records []sdklog.Record) error {
	return l.told.tell(ctx, l.Exporter.Export(ctx, records))
}
