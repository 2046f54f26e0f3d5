package logging

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"
)

// line logs once by f and gives the decoded JSON line.
func line(t *testing.T, f func(*slog.Logger)) map[string]any {
	t.Helper()
	var out bytes.Buffer
	f(New(&out, Options{Level: "info", Format: "json"}))
	got := map[string]any{}
	require.NoError(t, json.Unmarshal(out.Bytes(), &got))
	return got
}

func TestIDsOfTheContext(t *testing.T) {
	span := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0x0a, 0xf7}, SpanID: trace.SpanID{0xb7, 0xad}})
	ctx := trace.ContextWithSpanContext(WithCorrelationID(context.Background(), "c-1"), span)
	want := func(got map[string]any) {
		t.Helper()
		require.Equal(t, "c-1", got["correlationId"])
		require.Equal(t, "0af70000000000000000000000000000", got["traceId"])
		require.Equal(t, "b7ad000000000000", got["spanId"])
	}
	got := line(t, func(l *slog.Logger) { l.InfoContext(ctx, "hello", "n", 1) })
	want(got)
	require.Equal(t, "hello", got["msg"])
	require.Equal(t, "INFO", got["level"])
	require.NotEmpty(t, got["time"])

	got = line(t, func(l *slog.Logger) {
		l.With("a", 1).WithGroup("g").With("b", 2).InfoContext(ctx, "hello", "c", 3)
	})
	want(got)
	require.InDelta(t, 1, got["a"], 0)
	require.Equal(t, map[string]any{"b": 2.0, "c": 3.0}, got["g"])

	require.NotContains(t, line(t, func(l *slog.Logger) { l.Info("no context") }), "correlationId")
	require.Empty(t, CorrelationID(context.Background()))
}

func TestTimesAreUTC(t *testing.T) {
	local := time.Local
	t.Cleanup(func() { time.Local = local })
	time.Local = time.FixedZone("elsewhere", 12*60*60)
	got := line(t, func(l *slog.Logger) { l.Info("hello") })
	require.Regexp(t, `Z$`, got["time"])
}

func TestDurationsAreSeconds(t *testing.T) {
	got := line(t, func(l *slog.Logger) { l.Info("m", slog.Duration("duration", 1500*time.Millisecond)) })
	require.InDelta(t, 1.5, got["duration"], 0)
}

func TestDerivedLoggersDoNotShareAttributes(t *testing.T) {
	ctx := WithCorrelationID(context.Background(), "c")
	got := line(t, func(l *slog.Logger) {
		base := l.WithGroup("g").With("x", 1)
		first := base.With("a", 1)
		_ = base.With("b", 2)
		first.InfoContext(ctx, "m")
	})
	require.Equal(t, map[string]any{"x": 1.0, "a": 1.0}, got["g"])
}

func TestSecretsAreRedacted(t *testing.T) {
	const secret = "hunter2"
	const token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJodW50ZXIyIn0.hunter2hunter2"
	lines := map[string]func(*slog.Logger){
		"named password":   func(l *slog.Logger) { l.Info("m", "dbPassword", secret) },
		"named token":      func(l *slog.Logger) { l.With("client_token", secret).Info("m") },
		"number":           func(l *slog.Logger) { l.Info("m", "secret", 98765432101234) },
		"in a group":       func(l *slog.Logger) { l.WithGroup("g").Info("m", slog.Group("h", "api_key", secret)) },
		"URL in an error":  func(l *slog.Logger) { l.Info("m", "error", errors.New("dial postgres://u:"+secret+"@db/x")) },
		"URL in the text":  func(l *slog.Logger) { l.Info("redis://:" + secret + "@h") },
		"bearer":           func(l *slog.Logger) { l.Info("m", "header", "Bearer "+secret) },
		"JSON web token":   func(l *slog.Logger) { l.Info("m", "x", "got "+token) },
		"password with @:": func(l *slog.Logger) { l.Info("m", "url", "https://u:a@:/"+secret+"@h/p") },
	}
	for name, f := range lines {
		t.Run(name, func(t *testing.T) {
			for _, format := range []string{"json", "console"} {
				var out bytes.Buffer
				f(New(&out, Options{Level: "info", Format: format}))
				require.NotContains(t, out.String(), secret)
				require.NotContains(t, out.String(), "98765432101234")
				require.Contains(t, out.String(), "********")
			}
			var out bytes.Buffer
			f(NewAt(io.Discard, Options{Format: "json"}, new(slog.LevelVar), slog.NewJSONHandler(&out, nil)))
			require.NotContains(t, out.String(), secret, "the other handler")
			require.NotContains(t, out.String(), "98765432101234")
			require.Contains(t, out.String(), "********")
		})
	}
}

func TestHarmlessValuesStay(t *testing.T) {
	got := line(t, func(l *slog.Logger) { l.Info("m", "url", "http://host:8080/x", "error", errors.New("a b")) })
	require.Equal(t, "http://host:8080/x", got["url"])
	require.Equal(t, "a b", got["error"])
}

func TestLevelAndFormat(t *testing.T) {
	var out bytes.Buffer
	l := New(&out, Options{Level: "warn", Format: "console"})
	l.Info("quiet")
	require.Empty(t, out.String())
	l.Warn("loud", "k", "v")
	require.Regexp(t, `^time=\d\d:\d\d:\d\d\.\d{3}Z level=WARN msg=loud k=v\n$`, out.String())

	var other bytes.Buffer
	level := new(slog.LevelVar)
	l = NewAt(io.Discard, Options{Format: "json"}, level, nil, slog.NewTextHandler(&other, &slog.HandlerOptions{Level: slog.LevelDebug})).With("a", 1)
	l.Debug("quiet")
	require.Empty(t, other.String())
	Options{Level: "debug"}.SetLevel(level)
	l.Debug("loud")
	require.Contains(t, other.String(), "level=DEBUG msg=loud a=1")
	require.Equal(t, "debug", LevelName(level.Level()))

	require.NoError(t, Options{"debug", "console"}.Validate())
	require.ErrorContains(t, Options{"loud", "json"}.Validate(), "level must be")
	require.ErrorContains(t, Options{"info", "xml"}.Validate(), "format must be")
}
