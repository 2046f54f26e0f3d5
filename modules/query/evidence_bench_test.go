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
