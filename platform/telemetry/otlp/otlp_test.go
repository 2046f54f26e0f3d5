package otlp_test

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"audittrail/platform/config"
	"audittrail/platform/telemetry/buildinfo"
	"audittrail/platform/telemetry/otlp"
	"audittrail/platform/telemetry/otlp/otlptest"
)

var discard = slog.New(slog.DiscardHandler)

func start(t *testing.T) *otlp.Exports {
	t.Helper()
	e, err := otlp.New(t.Context(), buildinfo.Info{Version: "v1.2.3"}, discard)
	require.NoError(t, err)
	t.Cleanup(func() { _ = e.Close(context.Background()) })
	return e
}

func named(name string) func(*wire.Span) bool {
	return func(s *wire.Span) bool { return s.GetName() == name }
}

func TestSpansAndLogsArrive(t *testing.T) {
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			sink := otlptest.New(t)
			sink.Export(t, protocol)
			t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
			e := start(t)
			ctx, span := e.Tracing.Tracer.Start(t.Context(), "work")
			slog.New(e.Logs).InfoContext(ctx, "hello", "n", 1)
			span.End()
			require.NoError(t, e.Close(t.Context()))
			require.Len(t, sink.Spans(named("work")), 1)
			record := sink.Logs("hello")
			require.Len(t, record, 1)
			require.Equal(t, span.SpanContext().TraceID().String(), otlptest.ID(record[0].GetTraceId()))
			for key, want := range map[string]string{"service.name": "audittrail", "service.version": "v1.2.3", "deployment.environment.name": "test"} {
				require.Equal(t, []string{want, want}, sink.Resources(key), key)
			}
		})
	}
}

func TestWhatIsSentAndWhatIsNot(t *testing.T) {
	for name, c := range map[string]struct {
		env          map[string]string
		traces, logs bool
	}{
		"nothing is asked for":       {},
		"an endpoint":                {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}, true, true},
		"an endpoint of traces":      {map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:1"}, true, false},
		"the default endpoint":       {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, true, false},
		"no logs":                    {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_LOGS_EXPORTER": "none"}, true, false},
		"the SDK disabled":           {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_SDK_DISABLED": "true"}, false, false},
		"other signals are not ours": {map[string]string{"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT": "http://127.0.0.1:1"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range c.env {
				t.Setenv(key, value)
			}
			e := start(t)
			require.Equal(t, c.traces, e.Tracing != nil, "traces")
			require.Equal(t, c.logs, e.Logs != nil, "logs")
		})
	}
}

func TestAWrongVariableIsNamed(t *testing.T) {
	for name, value := range map[string]string{
		"OTEL_TRACES_EXPORTER": "zipkin", "OTEL_LOGS_EXPORTER": "console", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL": "http/json",
		"OTEL_TRACES_SAMPLER": "sometimes", "OTEL_TRACES_SAMPLER_ARG": "1 %",
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
			t.Setenv("OTEL_TRACES_SAMPLER", "traceidratio")
			t.Setenv(name, value)
			_, err := otlp.New(t.Context(), buildinfo.Info{}, discard)
			var wrong *config.Error
			require.ErrorAs(t, err, &wrong)
			require.ErrorContains(t, err, name)
		})
	}
}

func TestSampling(t *testing.T) {
	sampled := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{1}, TraceFlags: trace.FlagsSampled, Remote: true})
	unsampled := sampled.WithTraceFlags(0)
	for _, c := range []struct {
		sampler, arg         string
		root, sampledParent  bool
		unsampledParent, own bool // own: of a root that links to a sampled span
		follows              bool
	}{
		{"", "", true, true, false, true, true},
		{"always_on", "", true, true, true, true, false},
		{"always_off", "", false, false, false, false, false},
		{"traceidratio", "0", false, false, false, true, false},
		{"parentbased_traceidratio", "0", false, true, false, true, true},
		{"parentbased_always_off", "", false, true, false, true, true},
		{"parentbased_traceidratio", "1", true, true, false, true, true},
	} {
		t.Run(c.sampler+c.arg, func(t *testing.T) {
			t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", otlptest.New(t).HTTP)
			t.Setenv("OTEL_TRACES_SAMPLER", c.sampler)
			t.Setenv("OTEL_TRACES_SAMPLER_ARG", c.arg)
			e := start(t)
			is := func(parent trace.SpanContext, links ...trace.Link) bool {
				ctx := trace.ContextWithRemoteSpanContext(t.Context(), parent)
				_, span := e.Tracing.Tracer.Start(ctx, "work", trace.WithLinks(links...))
				defer span.End()
				return span.SpanContext().IsSampled()
			}
			require.Equal(t, c.root, is(trace.SpanContext{}), "a root")
			require.Equal(t, c.sampledParent, is(sampled), "a sampled parent")
			require.Equal(t, c.unsampledParent, is(unsampled), "an unsampled parent")
			require.Equal(t, c.own, is(trace.SpanContext{}, trace.Link{SpanContext: unsampled}, trace.Link{SpanContext: sampled}), "a link")
			require.Equal(t, c.root, is(trace.SpanContext{}, trace.Link{SpanContext: unsampled}), "a link to what is not sampled")
			require.Equal(t, c.follows, e.Tracing.FollowsParent)
		})
	}
}

// A collector that is away is told of once, in our own log, and keeps nobody waiting.
func TestACollectorThatIsAwayIsToldOfOnce(t *testing.T) {
	t.Setenv("OTEL_TRACES_EXPORTER", "otlp")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "5")
	t.Setenv("OTEL_BSP_EXPORT_TIMEOUT", "100")
	var out lines
	e, err := otlp.New(t.Context(), buildinfo.Info{}, slog.New(slog.NewTextHandler(&out, nil)))
	require.NoError(t, err)
	for range 3 {
		_, span := e.Tracing.Tracer.Start(t.Context(), "work")
		span.End()
		require.Eventually(t, func() bool { return out.count() == 1 }, time.Minute, 5*time.Millisecond)
	}
	_ = e.Close(t.Context()) // what is left can't be sent
	require.Equal(t, 1, out.count())
}

type lines struct {
	mu sync.Mutex
	n  int
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.n += bytes.Count(b, []byte("\n"))
	return len(b), nil
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.n
}
