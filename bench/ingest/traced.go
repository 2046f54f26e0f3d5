package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/bench/internal/benchingest"
)

// sampledEvery is one in how many records comes from a trace that its producer samples. All come from a trace.
const sampledEvery = 100

// traceparents gives each record the header of a producer that samples 1 %.
func traceparents(i int) []kgo.RecordHeader {
	flags := "00"
	if i%sampledEvery == 0 {
		flags = "01"
	}
	return []kgo.RecordHeader{{Key: "traceparent", Value: fmt.Appendf(nil, "00-%032x-%016x-%s", i+1, i+1, flags)}}
}

// ingestTraced measures our ingest of the same events where every record has a traceparent and 1 % are sampled, with the
// spans sent by OTLP.
func ingestTraced(ctx context.Context, b *bench) (s reading, err error) {
	c, err := newCollector(ctx)
	if err != nil {
		return s, err
	}
	defer func() { err = errors.Join(err, c.close()) }()
	n := len(b.workload.records)
	s, err = b.ingest(ctx, benchingest.Run{Topic: topicTraced, Records: n, Stored: int64(n), Env: []string{
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=" + c.url, "OTEL_TRACES_SAMPLER=parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG=0.01",
	}})
	if err == nil && c.received.Load() == 0 {
		err = errors.New("no spans were sent")
	}
	return s, err
}

// collector takes what is sent by OTLP over HTTP, and throws it away.
type collector struct {
	url      string
	received atomic.Int64 // bytes
	server   *http.Server
	served   chan error
}

func newCollector(ctx context.Context) (*collector, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &collector{url: "http://" + listener.Addr().String() + "/v1/traces", served: make(chan error, 1)}
	c.server = &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		c.received.Add(n)
		w.Header().Set("Content-Type", "application/x-protobuf")
	})}
	go func() { c.served <- c.server.Serve(listener) }()
	return c, nil
}

func (c *collector) close() error {
	err := c.server.Close()
	if served := <-c.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
