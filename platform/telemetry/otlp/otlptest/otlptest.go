// Package otlptest is a collector inside a test: it takes what a process sends by OTLP, over gRPC and HTTP, and keeps it.
package otlptest

import (
	"context"
	"encoding/hex"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	logs "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	traces "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	log "go.opentelemetry.io/proto/otlp/logs/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// Sink is a collector. It is there until the test ends.
type Sink struct {
	GRPC, HTTP string // its endpoints, as OTEL_EXPORTER_OTLP_ENDPOINT takes them

	mu        sync.Mutex
	spans     []*trace.Span
	records   []*log.LogRecord
	resources []*resource.Resource
	text      []byte // all that came in, as JSON
}

// New starts a collector.
func New(t testing.TB) *Sink {
	t.Helper()
	s := &Sink{}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	traces.RegisterTraceServiceServer(server, traceService{sink: s})
	logs.RegisterLogsServiceServer(server, logService{sink: s})
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})

	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/traces", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, &traces.ExportTraceServiceRequest{}, s.takeSpans, &traces.ExportTraceServiceResponse{})
	})
	mux.HandleFunc("POST /v1/logs", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, &logs.ExportLogsServiceRequest{}, s.takeLogs, &logs.ExportLogsServiceResponse{})
	})
	web := httptest.NewServer(mux)
	t.Cleanup(web.Close)
	s.GRPC, s.HTTP = "http://"+listener.Addr().String(), web.URL
	return s
}

// Export has the process, and what it starts, send to the sink until the test ends, without delay and by a protocol.
func (s *Sink) Export(t testing.TB, protocol string) {
	t.Helper()
	endpoint := s.HTTP
	if protocol == "grpc" {
		endpoint = s.GRPC
	}
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
		"OTEL_BSP_SCHEDULE_DELAY": "20", "OTEL_BLRP_SCHEDULE_DELAY": "20",
	} {
		t.Setenv(name, value)
	}
}

// Spans returns the spans that came in and that are wanted.
func (s *Sink) Spans(wanted func(*trace.Span) bool) []*trace.Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*trace.Span
	for _, span := range s.spans {
		if wanted(span) {
			found = append(found, span)
		}
	}
	return found
}

// Logs returns the log records that came in and whose body is the message.
func (s *Sink) Logs(message string) []*log.LogRecord {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found []*log.LogRecord
	for _, r := range s.records {
		if r.GetBody().GetStringValue() == message {
			found = append(found, r)
		}
	}
	return found
}

// Resources returns an attribute of whoever has sent something, once for each time.
func (s *Sink) Resources(key string) (values []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.resources {
		values = append(values, Attribute(r.GetAttributes(), key))
	}
	return values
}

// Text returns all that came in, as JSON.
func (s *Sink) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return string(s.text)
}

// Attribute returns the value of a text attribute; "" where there is none.
func Attribute(of []*common.KeyValue, key string) string {
	for _, a := range of {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// ID is an id as it is spelled in headers and log lines.
func ID(id []byte) string { return hex.EncodeToString(id) }

func (s *Sink) takeSpans(m *traces.ExportTraceServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range m.GetResourceSpans() {
		s.resources = append(s.resources, of.GetResource())
		for _, scope := range of.GetScopeSpans() {
			s.spans = append(s.spans, scope.GetSpans()...)
		}
	}
	s.text, _ = protojson.MarshalOptions{}.MarshalAppend(s.text, m)
}

func (s *Sink) takeLogs(m *logs.ExportLogsServiceRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range m.GetResourceLogs() {
		s.resources = append(s.resources, of.GetResource())
		for _, scope := range of.GetScopeLogs() {
			s.records = append(s.records, scope.GetLogRecords()...)
		}
	}
	s.text, _ = protojson.MarshalOptions{}.MarshalAppend(s.text, m)
}

func answer[M proto.Message](w http.ResponseWriter, r *http.Request, m M, take func(M), response proto.Message) {
	body, err := io.ReadAll(r.Body)
	if err == nil {
		err = proto.Unmarshal(body, m)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	take(m)
	w.Header().Set("Content-Type", "application/x-protobuf")
	body, _ = proto.Marshal(response)
	_, _ = w.Write(body)
}

type traceService struct {
	traces.UnimplementedTraceServiceServer
	sink *Sink
}

func (s traceService) Export(_ context.Context, m *traces.ExportTraceServiceRequest) (*traces.ExportTraceServiceResponse, error) {
	s.sink.takeSpans(m)
	return &traces.ExportTraceServiceResponse{}, nil
}

type logService struct {
	logs.UnimplementedLogsServiceServer
	sink *Sink
}

func (s logService) Export(_ context.Context, m *logs.ExportLogsServiceRequest) (*logs.ExportLogsServiceResponse, error) {
	s.sink.takeLogs(m)
	return &logs.ExportLogsServiceResponse{}, nil
}
