package postgres

import (
	"context"

	"github.com/exaring/otelpgx"
	"github.com/jackc/pgx/v5"
	"go.opentelemetry.io/otel/metric/noop"

	"audittrail/platform/telemetry"
)

// newTracer makes the spans of statements beneath a span that is recorded; others get none. They hold the statement's
// text, never its arguments or the text of an error. It returns nil where tracing is off.
func newTracer(t *telemetry.Tracing) pgx.QueryTracer {
	if t == nil {
		return nil
	}
	return tracer{otelpgx.NewTracer(otelpgx.WithTracerProvider(t.Provider), otelpgx.WithMeterProvider(noop.NewMeterProvider()),
		otelpgx.WithDisableConnectionDetailsInAttributes())}
}

// tracer is otelpgx's but for the statements of a batch: it would make a span for each, at the moment of its answer, and
// an append may have thousands.
type tracer struct{ *otelpgx.Tracer }

func (tracer) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
