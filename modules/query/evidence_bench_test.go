package query_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/evidence"
)

// BenchmarkEvidence asks for the evidence of one event after the other, over the whole API, without a cache of tiles
// and with one.
func BenchmarkEvidence(b *testing.B) {
	a := newAPI(b)
	const events = 70_000
	bulk(b, a, 0, events, 100)
	a.sign(b)
	for name, adjust := range map[string]func(*settings){"without": func(s *settings) { s.cache = nil }, "cache": func(*settings) {}} {
		other := startAPI(b, apiPool(b, a.database), adjust)
		b.Run(name, func(b *testing.B) {
			i := 0
			for b.Loop() {
				i = (i + 7919) % events
				r := other.request(b, "/v1/events/"+id(i)+"/proof")
				response, err := other.client.Do(r)
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, response.Body)
				require.NoError(b, err)
				require.NoError(b, response.Body.Close())
				require.Equal(b, http.StatusOK, response.StatusCode)
			}
		})
	}
}

// BenchmarkExport exports a log as a bundle, and verifies it afterwards, in events a second.
func BenchmarkExport(b *testing.B) {
	a := newAPI(b)
	const events = 70_000
	bulk(b, a, 0, events, 100)
	a.sign(b)
	var body bytes.Buffer
	b.Run("export", func(b *testing.B) {
		for b.Loop() {
			body.Reset()
			response := a.export(b.Context(), b, "")
			_, err := io.Copy(&body, response.Body)
			require.NoError(b, err)
			require.NoError(b, response.Body.Close())
		}
		b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
		b.ReportMetric(float64(body.Len()>>20), "MiB")
	})
	b.Run("verify", func(b *testing.B) {
		for b.Loop() {
			report, err := evidence.Verify(bytes.NewReader(body.Bytes()), a.keys(b), nil)
			require.NoError(b, err)
			require.EqualValues(b, events, report.Proven, fmt.Sprint(report))
		}
		b.ReportMetric(events*float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkWorthCaching weighs what else a cache could keep. A hit of the cache of events is the least that any answer
// takes; what an answer takes beyond that is the most that a cache of it could save.
func BenchmarkWorthCaching(b *testing.B) {
	a := newAPI(b)
	const events, long = 20_000, 2_500
	bulk(b, a, 0, events, 100)
	values := make([]string, long)
	for i := range values {
		values[i] = fmt.Sprintf(`{"eventId":%q,"eventType":"OrderChanged","aggregateId":"long","aggregateType":"Order","timestamp":"2026-03-01T%02d:%02d:%02dZ","version":%d,"payload":{"a%d":%d},"metadata":{}}`,
			id(events+i), i/3600, i/60%60, i%60, i+1, i%50, i)
	}
	require.Equal(b, long, a.append(b, values...).Stored)
	a.sign(b)
	without := startAPI(b, apiPool(b, a.database), func(s *settings) { s.cache = nil })
	const event, checkpoint, tile, proof, state = "/v1/events/%s", "/v1/ledger/events/checkpoint", "/v1/ledger/events/tile/0/003", "/v1/events/%s/proof", "/v1/aggregates/Order/long/state"
	for _, c := range []struct {
		name string
		of   *api
		path string
	}{
		{"hit", a, fmt.Sprintf(event, id(77))}, {"event", without, fmt.Sprintf(event, id(77))},
		{"checkpoint", a, checkpoint},
		{"tile/cached", a, tile}, {"tile/uncached", without, tile},
		{"proof/tiles-cached", a, fmt.Sprintf(proof, id(77))}, {"proof/uncached", without, fmt.Sprintf(proof, id(77))},
		{"state/snapshot", a, state},
	} {
		b.Run(c.name, func(b *testing.B) {
			ask := func() {
				response, err := c.of.client.Do(c.of.request(b, c.path))
				require.NoError(b, err)
				_, err = io.Copy(io.Discard, response.Body)
				require.NoError(b, err)
				require.NoError(b, response.Body.Close())
				require.Equal(b, http.StatusOK, response.StatusCode)
			}
			ask() // keeps what is kept
			for b.Loop() {
				ask()
			}
		})
	}
}
