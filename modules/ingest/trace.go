package ingest

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/telemetry"
)

// tracing makes the spans of records and batches. It is nil where tracing is off; its methods then do nothing.
//
// A record has a span if it came with a traceparent: its producer's span is the parent, so that the producer's trace goes
// on to the event store. The span lasts from decoding until the record is accounted for. A batch has a span in a trace of
// its own, with the transaction's statements beneath it; it is linked to its records' spans, and they to it.
type tracing struct {
	*telemetry.Tracing
	records *kotel.Tracer
}

func newTracing(t *telemetry.Tracing, group string) *tracing {
	if t == nil {
		return nil
	}
	return &tracing{t, kotel.NewTracer(kotel.TracerProvider(t.Provider), kotel.TracerPropagator(telemetry.Propagation()), kotel.ConsumerGroup(group),
		kotel.KeyFormatter(func(*kgo.Record) (string, error) { return "", errNoKeys }))}
}

// errNoKeys keeps records' keys out of spans.
var errNoKeys = errors.New("keys are not shown")

// recordSpan is a record's span, if it is sampled.
type recordSpan struct {
	offset int64
	span   trace.Span
}

// begin begins the spans of records, in the order of their offsets.
func (t *tracing) begin(records []event.Raw) (spans []recordSpan) {
	if t == nil {
		return nil
	}
	for i := range records {
		raw := &records[i]
		parent, ok := raw.TraceParent()
		if !ok || t.FollowsParent && !parent.Sampled {
			continue
		}
		r := &kgo.Record{Topic: raw.Topic, Partition: raw.Partition, Offset: raw.Offset, Context: beneath(parent)}
		if _, span := t.records.WithProcessSpan(r); span.IsRecording() {
			spans = append(spans, recordSpan{raw.Offset, span})
		}
	}
	return spans
}

// beneath returns a context in which spans begin beneath a producer's.
func beneath(p event.TraceParent) context.Context {
	return trace.ContextWithRemoteSpanContext(context.Background(), trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: p.Trace, SpanID: p.Span, TraceFlags: trace.TraceFlags(0).WithSampled(p.Sampled), Remote: true,
	}))
}

// batch begins a batch's span.
func (t *tracing) batch(ctx context.Context, chunks []*chunk) (context.Context, trace.Span) {
	if t == nil {
		return ctx, trace.SpanFromContext(ctx)
	}
	var links []trace.Link
	for _, c := range chunks {
		for _, r := range c.spans {
			links = append(links, trace.Link{SpanContext: r.span.SpanContext()})
		}
	}
	ctx, span := t.Tracer.Start(ctx, "append batch", trace.WithLinks(links...))
	for _, c := range chunks {
		for _, r := range c.spans {
			r.span.AddLink(trace.Link{SpanContext: span.SpanContext()})
		}
	}
	return ctx, span
}

// stored tells what became of a batch.
func stored(span trace.Span, b store.Batch, r store.Receipt) {
	if span.IsRecording() {
		span.SetStatus(codes.Ok, "") // whatever failed before
		span.SetAttributes(attribute.Int("audittrail.events", len(b.Events)), attribute.Int("audittrail.rejected", len(b.Rejected)),
			attribute.Int("audittrail.stored", r.Stored), attribute.Int("audittrail.duplicates", r.Duplicates),
			attribute.Int64("audittrail.first_position", r.First))
	}
}

// end ends the spans of a chunk's records. A chunk that was not appended is read again, by whoever has the partition then.
func (c *chunk) end() {
	events, rejected := c.events, c.rejected
	for _, r := range c.spans {
		for len(events) > 0 && events[0].Raw().Offset < r.offset {
			events = events[1:]
		}
		for len(rejected) > 0 && rejected[0].Raw.Offset < r.offset {
			rejected = rejected[1:]
		}
		switch {
		case !c.appended:
			r.span.SetAttributes(attribute.String("audittrail.outcome", "read_again"))
		case len(rejected) > 0 && rejected[0].Raw.Offset == r.offset:
			r.span.SetAttributes(attribute.String("audittrail.outcome", outcomeDeadLettered), attribute.String("audittrail.reason", string(rejected[0].Reason)))
		case len(events) > 0 && events[0].Raw().Offset == r.offset:
			if id, ok := events[0].Event().CorrelationID(); ok {
				r.span.SetAttributes(telemetry.CorrelationKey.String(id))
			}
		}
		r.span.End()
	}
	c.spans = nil
}
