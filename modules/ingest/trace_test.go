package ingest

import (
	"slices"
	"testing"

	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"audittrail/modules/event"
	"audittrail/platform/telemetry"
)

func tracedRecords(n int, header string) []event.Raw {
	records := make([]event.Raw, n)
	for i := range records {
		records[i] = event.Raw{Coordinates: event.Coordinates{Topic: "orders", Offset: int64(i)}, Key: []byte("hush"), Headers: []event.Header{{Key: "x"}}}
		if header != "" {
			records[i].Headers = append(records[i].Headers, event.Header{Key: "traceparent", Value: []byte(header)})
		}
	}
	return records
}

const (
	sampledParent   = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	unsampledParent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
)

// Tracing costs nothing where it is off, and next to nothing for a record that nobody follows.
func TestTracingMakesNothingForWhatIsNotFollowed(t *testing.T) {
	on := newTracing(telemetry.NewTracing(sdktrace.NewTracerProvider(), true), "group")
	for _, c := range []struct {
		name    string
		tracing *tracing
		header  string
		most    float64
	}{
		{"off", nil, sampledParent, 0},
		{"no trace", on, "", 0},
		{"a broken header", on, "00-x", 0},
		{"not sampled", on, unsampledParent, 0},
	} {
		records := tracedRecords(100, c.header)
		if got := testing.AllocsPerRun(10, func() {
			if spans := c.tracing.begin(records); spans != nil {
				t.Error(c.name, "has spans")
			}
		}); got > c.most {
			t.Errorf("%s: %v allocations for 100 records, at most %v", c.name, got, c.most)
		}
	}
}

func TestSpansOfRecords(t *testing.T) {
	ended := tracetest.NewSpanRecorder()
	tr := newTracing(telemetry.NewTracing(sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(ended)), true), "group")
	c := &chunk{spans: tr.begin(tracedRecords(3, sampledParent))}
	c.rejected = []event.Rejected{{Raw: event.Raw{Coordinates: event.Coordinates{Offset: 1}}, Reason: event.MalformedJSON}}
	_, batch := tr.batch(t.Context(), []*chunk{c})
	c.appended = true
	c.end()
	batch.End()
	spans := ended.Ended()
	if len(spans) != 4 || len(spans[3].Links()) != 3 {
		t.Fatalf("%d spans, want those of 3 records and a batch that links to them", len(spans))
	}
	for i, s := range spans[:3] {
		if s.Parent().SpanID().String() != "00f067aa0ba902b7" || !s.Parent().IsRemote() || len(s.Links()) != 1 {
			t.Errorf("record %d: parent %v, links %v", i, s.Parent(), s.Links())
		}
		dead := slices.Contains(s.Attributes(), attribute.String("audittrail.reason", "malformed_json"))
		if dead != (i == 1) {
			t.Errorf("record %d: %v", i, s.Attributes())
		}
		for _, a := range s.Attributes() {
			if a.Value.AsString() == "hush" {
				t.Errorf("record %d shows its key as %s", i, a.Key)
			}
		}
	}
	// A chunk whose partition was given up.
	given := &chunk{spans: tr.begin(tracedRecords(1, sampledParent))}
	given.end()
	if got := ended.Ended()[4].Attributes(); !slices.Contains(got, attribute.String("audittrail.outcome", "read_again")) {
		t.Errorf("a record that was not stored: %v", got)
	}
}
