package app

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kgo"
	wire "go.opentelemetry.io/proto/otlp/trace/v1"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/telemetry/otlp/otlptest"
)

// What nobody asks for just now is traced too: a round of the analytics, and each page of a replay, with their statements.
func TestRoundsAreTraced(t *testing.T) {
	sink := otlptest.New(t)
	sink.Export(t, "grpc")
	brokers := broker(t)
	p := startLogging(t, io.Discard, "--postgres.url="+migratetest.Database(t), "--kafka.brokers="+brokers, "--kafka.topics=orders",
		`--replay.targets=[{"type":"file","folder":"`+t.TempDir()+`"}]`)
	p.until("admin", "/readyz", 200, "")
	produceTraced(t, brokers, &kgo.Record{Topic: "orders", Key: []byte("1"), Value: []byte(`{"eventId":"6b1b0c3a-6a5f-4f0e-9b1e-2f5d1c9a7e01","eventType":"OrderPlaced",
		"aggregateId":"1","aggregateType":"Order","timestamp":"2026-01-02T03:04:05Z","version":1,"payload":{},"metadata":{}}`)})
	p.until("api", "/v1/events?aggregateType=Order", 200, "7e01")

	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.addrs["api"]+"/v1/replays", strings.NewReader(`{"target":{"type":"file","name":"all.ndjson"},"reason":"test"}`))
	require.NoError(t, err)
	req.Header.Set("Authorization", "Bearer "+p.issuer.Token(map[string]any{"roles": []string{"admin"}}))
	req.Header.Set("Content-Type", "application/json")
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(t, err)
	var job struct{ ID string }
	require.NoError(t, json.NewDecoder(res.Body).Decode(&job))
	require.NoError(t, res.Body.Close())
	require.Equal(t, http.StatusCreated, res.StatusCode)

	page := one(t, sink, "the page's span", named("replay page", "audittrail.replay", job.ID))
	require.Empty(t, page.GetParentSpanId())
	require.Eventually(t, func() bool {
		for _, round := range sink.Spans(named("analytics round")) {
			beneath := sink.Spans(func(s *wire.Span) bool { return bytes.Equal(s.GetParentSpanId(), round.GetSpanId()) })
			if len(round.GetParentSpanId()) == 0 && len(beneath) > 0 {
				return true
			}
		}
		return false
	}, patience, 5*time.Millisecond, "a round's span, with its statements")
	require.NoError(t, p.stop())
}
