package telemetry

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"audittrail/platform/logging"
)

func recorded() (*Tracing, *tracetest.SpanRecorder) {
	spans := tracetest.NewSpanRecorder()
	return NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)), true), spans
}

// A library's text may quote a value of a record.
func TestSpansDoNotQuoteErrors(t *testing.T) {
	tracing, spans := recorded()
	refused := fmt.Errorf("copy: %w", &pgconn.PgError{Code: "22P02", Message: "invalid input: hunter2"})
	for _, err := range []error{refused, errors.New("hunter2"), context.DeadlineExceeded, context.Canceled} {
		ctx, span := tracing.Provider.Tracer("library").Start(t.Context(), "query")
		span.RecordError(err)
		span.SetStatus(codes.Error, err.Error())
		_, below := Within(ctx, "copy")
		Fail(below, err)
		below.End()
		span.End()
	}
	ended := spans.Ended()
	require.Len(t, ended, 8)
	for _, s := range ended {
		require.Equal(t, codes.Error, s.Status().Code)
		require.NotContains(t, fmt.Sprintf("%v %v %v", s.Status(), s.Attributes(), s.Events()), "hunter2")
	}
	require.Equal(t, "22P02", ended[0].Attributes()[0].Value.AsString())
	require.Equal(t, ended[1].SpanContext().SpanID(), ended[0].Parent().SpanID(), "a span beneath the library's")
}

func TestWithinNothing(t *testing.T) {
	ctx, span := Within(t.Context(), "copy")
	require.Equal(t, t.Context(), ctx)
	require.False(t, span.IsRecording())
	Fail(span, errors.New("x"))
	span.End()
}

func TestExemplars(t *testing.T) {
	tracing, _ := recorded()
	for name, c := range map[string]struct {
		id     string
		labels int
	}{"no correlation id": {"", 2}, "one": {"c-1", 3}, "the longest with room": {strings.Repeat("x", maxExemplarID), 3}, "a longer one": {strings.Repeat("x", maxExemplarID+1), 2}} {
		t.Run(name, func(t *testing.T) {
			h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "h", Buckets: []float64{1}})
			ctx, span := tracing.Tracer.Start(logging.WithCorrelationID(t.Context(), c.id), "work")
			Observe(t.Context(), h, 0.5) // without a span: no exemplar
			Observe(ctx, h, 0.5)
			span.End()
			r := prometheus.NewRegistry()
			r.MustRegister(h)
			families, err := r.Gather()
			require.NoError(t, err)
			got := families[0].GetMetric()[0].GetHistogram()
			require.EqualValues(t, 2, got.GetSampleCount())
			require.Len(t, got.GetBucket()[0].GetExemplar().GetLabel(), c.labels)
		})
	}
}
