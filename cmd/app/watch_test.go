package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/plugin/kotel"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/telemetry"
	"audittrail/platform/telemetry/buildinfo"
	"audittrail/platform/telemetry/otlp"
	"audittrail/platform/telemetry/otlp/otlptest"
)

// lines is what a program has logged.
type lines struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// with returns the lines that have a member with a value.
func (l *lines) with(t *testing.T, member, value string) (found []map[string]any) {
	t.Helper()
	for scanner := bufio.NewScanner(strings.NewReader(l.String())); scanner.Scan(); {
		var line map[string]any
		require.NoError(t, json.Unmarshal(scanner.Bytes(), &line), scanner.Text())
		if line[member] == value {
			found = append(found, line)
		}
	}
	return found
}

// one waits for the one span that is wanted.
func one(t *testing.T, sink *otlptest.Sink, what string, wanted func(*wire.Span) bool) *wire.Span {
	t.Helper()
	var found []*wire.Span
	require.Eventually(t, func() bool {
		found = sink.Spans(wanted)
		return len(found) > 0
	}, patience, 5*time.Millisecond, what)
	require.Len(t, found, 1, what)
	return found[0]
}

func linksTo(s, to *wire.Span) bool {
	for _, link := range s.GetLinks() {
		if bytes.Equal(link.GetTraceId(), to.GetTraceId()) && bytes.Equal(link.GetSpanId(), to.GetSpanId()) {
			return true
		}
	}
	return false
}

func named(name string, attributes ...string) func(*wire.Span) bool {
	return func(s *wire.Span) bool {
		for i := 0; i < len(attributes); i += 2 {
			if otlptest.Attribute(s.GetAttributes(), attributes[i]) != attributes[i+1] {
				return false
			}
		}
		return s.GetName() == name
	}
}

// produceTraced publishes as a service does that is traced, by OTLP to the same collector. The end of an exporter sends
// what is left for a few seconds only: one has few records.
func produceTraced(t *testing.T, brokers string, records ...*kgo.Record) {
	t.Helper()
	for few := range slices.Chunk(records, 500) {
		produceFewTraced(t, brokers, few)
	}
}

func produceFewTraced(t *testing.T, brokers string, records []*kgo.Record) {
	t.Helper()
	e, err := otlp.New(t.Context(), buildinfo.Read(), nil)
	require.NoError(t, err)
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...), kgo.WithHooks(
		kotel.NewTracer(kotel.TracerProvider(e.Tracing.Provider), kotel.TracerPropagator(telemetry.Propagation()),
			kotel.KeyFormatter(func(*kgo.Record) (string, error) { return "", io.EOF }))))
	require.NoError(t, err)
	defer client.Close()
	require.NoError(t, client.ProduceSync(context.Background(), records...).FirstErr())
	require.NoError(t, e.Close(t.Context()))
}

// ask asks the API with a correlation id and a token, and returns the status.
func (p *program) ask(path, correlationID, token string) int {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.addrs["api"]+path, nil)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("X-Correlation-Id", correlationID)
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(p.t, err)
	_, _ = io.Copy(io.Discard, res.Body)
	require.NoError(p.t, res.Body.Close())
	require.Equal(p.t, correlationID, res.Header.Get("X-Correlation-Id"))
	return res.StatusCode
}

// openMetrics returns the metrics with their exemplars.
func (p *program) openMetrics() string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, "http://"+p.addrs["admin"]+"/metrics", nil)
	require.NoError(p.t, err)
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return string(body)
}

// A producer's span, its record's, the batch's and those of the batch's statements are joined, and a request's span with
// those of its statements. A request is found in the logs, the metrics and the traces
// by its correlation id. What is secret is in none of them, even where everything is logged.
func TestARecordAndARequestAreFollowed(t *testing.T) {
	const mark = "MARK0f5e"
	for _, protocol := range []string{"grpc", "http/protobuf"} {
		t.Run(protocol, func(t *testing.T) {
			sink := otlptest.New(t)
			sink.Export(t, protocol)
			database, brokers := migratetest.Database(t), broker(t)
			var log lines
			p := startLogging(t, &log, "--log.level=debug", "--postgres.url="+database, "--kafka.brokers="+brokers, "--kafka.topics=orders")
			p.until("admin", "/readyz", 200, "")

			key, headers := []byte(mark+"-key"), []kgo.RecordHeader{{Key: "x", Value: []byte(mark + "-header")}}
			event := func(id, correlation, payload string) []byte {
				return []byte(`{"eventId":"6b1b0c3a-6a5f-4f0e-9b1e-2f5d1c9a7e` + id + `","eventType":"OrderPlaced","aggregateId":"` + mark + `-order",
					"aggregateType":"Order","timestamp":"2026-01-02T03:04:05Z","version":1,"payload":` + payload + `,
					"metadata":{"correlationId":"` + correlation + `","userId":"` + mark + `-user"}}`)
			}
			produceTraced(t, brokers,
				&kgo.Record{Topic: "orders", Key: key, Value: event("01", "first", `{"card":"`+mark+`-payload"}`), Headers: headers},
				&kgo.Record{Topic: "orders", Key: key, Value: event("02", "broken", `{"card":"`+mark+`-broken`), Headers: headers},
				&kgo.Record{Topic: "orders", Key: key, Value: event("01", "conflict", `{"card":"`+mark+`-conflict"}`), Headers: headers})
			p.until("api", "/v1/events?aggregateType=Order", 200, "7e01")
			p.until("api", "/v1/dead-letters", 200, "event_id_conflict")

			t.Run("producer, record, batch, transaction", func(t *testing.T) {
				record := one(t, sink, "the record's span", named("orders process", "audittrail.correlation_id", "first"))
				published := one(t, sink, "the producer's span", func(s *wire.Span) bool { return bytes.Equal(s.GetSpanId(), record.GetParentSpanId()) })
				require.Equal(t, "orders publish", published.GetName())
				require.Equal(t, published.GetTraceId(), record.GetTraceId())
				batch := one(t, sink, "the batch's span", func(s *wire.Span) bool { return s.GetName() == "append batch" && linksTo(s, record) })
				require.True(t, linksTo(record, batch))
				below := func(name string) func(*wire.Span) bool {
					return func(s *wire.Span) bool {
						return bytes.Equal(s.GetParentSpanId(), batch.GetSpanId()) && bytes.Equal(s.GetTraceId(), batch.GetTraceId()) && s.GetName() == name
					}
				}
				one(t, sink, "its COPY", below("COPY events"))
				require.Eventually(t, func() bool { return len(sink.Spans(below("batch start"))) >= 2 }, patience, 5*time.Millisecond, "its statements")
				one(t, sink, "the broken record's span", named("orders process", "audittrail.outcome", "dead_lettered", "audittrail.reason", "malformed_json"))
				appended := log.with(t, "traceId", otlptest.ID(batch.GetTraceId()))
				require.NotEmpty(t, appended, "a line of the batch")
				require.Contains(t, p.openMetrics(), `trace_id="`+otlptest.ID(batch.GetTraceId())+`"`, "an exemplar of the append")
			})

			t.Run("request and its statements", func(t *testing.T) {
				const id = "one-request.1"
				require.Equal(t, 200, p.ask("/v1/events?aggregateType=Order&aggregateId="+mark+"-order&payload="+url.QueryEscape(`{"card":"`+mark+`-payload"}`), id, p.token))
				request := one(t, sink, "its span", named("GET /v1/events", "audittrail.correlation_id", id))
				require.Eventually(t, func() bool {
					return len(sink.Spans(func(s *wire.Span) bool {
						return s.GetName() == "SELECT" && bytes.Equal(s.GetTraceId(), request.GetTraceId()) && bytes.Equal(s.GetParentSpanId(), request.GetSpanId())
					})) > 0
				}, patience, 5*time.Millisecond, "its statements")
				var written []map[string]any
				require.Eventually(t, func() bool { written = log.with(t, "correlationId", id); return len(written) > 0 }, patience, 5*time.Millisecond)
				trace := otlptest.ID(request.GetTraceId())
				require.Equal(t, trace, written[0]["traceId"])
				require.Equal(t, otlptest.ID(request.GetSpanId()), written[0]["spanId"])
				require.Contains(t, p.openMetrics(), `correlation_id="`+id+`"`, "an exemplar of the metric")
				require.Eventually(t, func() bool {
					for _, r := range sink.Logs("request") {
						if otlptest.Attribute(r.GetAttributes(), "correlationId") == id && otlptest.ID(r.GetTraceId()) == trace {
							return true
						}
					}
					return false
				}, patience, 5*time.Millisecond, "the line that was sent")
			})

			t.Run("nothing secret", func(t *testing.T) {
				require.Equal(t, 401, p.ask("/v1/me", "refused.1", mark+"-token"))
				require.Equal(t, 400, p.ask("/v1/events?payload="+url.QueryEscape(`{"card":"`+mark), "refused.2", p.token))
				require.Equal(t, 404, p.ask("/v1/aggregates/Order/"+mark+"-nothing", "refused.3", p.token))
				metrics := p.openMetrics()
				require.NoError(t, p.stop())
				// The end has sent all there was.
				require.NotEmpty(t, sink.Spans(named("GET /v1/me", "audittrail.correlation_id", "refused.1")))
				for where, text := range map[string]string{"the log": log.String(), "what was sent": sink.Text(), "the metrics": metrics} {
					require.NotContains(t, text, mark, where)
					require.NotContains(t, text, p.token, where)
					require.NotContains(t, text, p.token[len(p.token)-20:], where)
				}
			})
		})
	}
}

// Without a variable nothing is traced, and no line pretends so.
func TestTracingIsOffUnlessItIsAskedFor(t *testing.T) {
	t.Parallel()
	var log lines
	p := startLogging(t, &log, "--roles=api", "--postgres.url="+migratetest.Database(t))
	p.until("admin", "/readyz", 200, "")
	require.Equal(t, 200, p.ask("/v1/me", "off.1", p.token))
	require.Eventually(t, func() bool { return len(log.with(t, "correlationId", "off.1")) > 0 }, patience, 5*time.Millisecond)
	require.NoError(t, p.stop())
	require.NotContains(t, log.String(), "traceId")
}

// The level of a process that runs is changed, by whoever is on its machine.
func TestTheLogLevelIsChangedWhileItRuns(t *testing.T) {
	t.Parallel()
	var log lines
	p := startLogging(t, &log, "--roles=api", "--log.level=error", "--postgres.url="+migratetest.Database(t))
	p.until("admin", "/loglevel", 200, `{"level":"error"}`)
	require.Equal(t, 401, p.ask("/v1/me", "quiet.1", "no token"))
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, "http://"+p.addrs["admin"]+"/loglevel", strings.NewReader(`{"level":"info"}`))
	require.NoError(t, err)
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	require.NoError(t, res.Body.Close())
	require.Equal(t, 200, res.StatusCode)
	require.Equal(t, 401, p.ask("/v1/me", "loud.1", "no token"))
	require.Eventually(t, func() bool { return len(log.with(t, "correlationId", "loud.1")) > 0 }, patience, 5*time.Millisecond)
	require.Empty(t, log.with(t, "correlationId", "quiet.1"))
	require.NoError(t, p.stop())
}
