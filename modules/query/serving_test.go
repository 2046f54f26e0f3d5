package query_test

import (
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
)

// ask sends a request and does not wait for its answer; one without a status got none.
func (a *api) ask(t *testing.T, path string, into chan<- answer) {
	t.Helper()
	r := a.request(t, path)
	go func() {
		response, err := a.client.Do(r)
		if err != nil {
			into <- answer{} // several may ask into one
			return
		}
		defer response.Body.Close()
		var body strings.Builder
		buffer := make([]byte, 1<<16)
		for {
			n, err := response.Body.Read(buffer)
			body.Write(buffer[:n])
			if err != nil {
				break
			}
		}
		into <- answer{response.StatusCode, response.Header, []byte(body.String())}
	}()
}

func TestFeedWaits(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	a.append(t, order(1, "Order", "x"))
	answers := make(chan answer, 20)
	for range 20 { // many wait, by few connections: the pool has four
		a.ask(t, "/v1/feed?after=0&wait=30", answers)
	}
	require.Equal(t, 200, a.get(t, "/v1/events").status, "waiting holds no connection")
	begin := time.Now()
	a.append(t, order(2, "Order", "x"), order(3, "Order", "x"))
	for range 20 {
		got := <-answers
		require.Equal(t, 200, got.status, string(got.body))
		var l list
		got.decode(t, &l)
		require.Equal(t, []any{1.0, 2.0}, l.all("position"))
		require.Equal(t, int64(2), l.ScannedTo)
	}
	require.Less(t, time.Since(begin), 10*time.Second, "woken by the append, not by the time's end")

	begin = time.Now()
	l := a.list(t, "/v1/feed?after=2&wait=1")
	require.Empty(t, l.Items)
	require.Equal(t, int64(2), l.ScannedTo)
	require.GreaterOrEqual(t, time.Since(begin), time.Second)
}

func TestPostgresAwayAndBack(t *testing.T) {
	t.Parallel()
	server := migratetest.Server(t)
	a := startAPI(t, apiPool(t, server.URL()))
	require.Equal(t, 200, a.get(t, "/v1/events").status)
	server.Stop()
	for _, path := range []string{"/v1/events", "/v1/events/" + id(1), "/v1/feed?wait=1", "/v1/dead-letters", "/v1/ingest/offsets", "/v1/aggregates/a/b/events"} {
		got := a.get(t, path)
		p := got.refused(t, http.StatusServiceUnavailable, "unavailable", "")
		require.NotEmpty(t, got.header.Get("Retry-After"))
		for _, secret := range []string{"postgres", "127.0.0.1", "connect", "SQLSTATE", "pool"} {
			require.NotContains(t, strings.ToLower(p.Detail), strings.ToLower(secret))
		}
	}
	require.Equal(t, 200, a.get(t, "/openapi.json").status)
	server.Start()
	require.Eventually(t, func() bool { return a.get(t, "/v1/events").status == 200 }, time.Minute, 100*time.Millisecond)
}

func TestEachRequestIsLoggedAndCounted(t *testing.T) {
	t.Parallel()
	a := newAPI(t)
	require.Contains(t, a.series(t), `/v1/events GET 200 0`, "there from the start")
	r := a.request(t, "/v1/events?aggregateId=secret-value")
	r.Header.Set("X-Correlation-Id", "my-id")
	a.send(t, r)
	a.get(t, "/nowhere/secret-value").refused(t, 404, "not_found", "")

	var seen []string
	for len(seen) < 2 {
		if line := <-a.log.got; strings.Contains(line, `"msg":"request"`) {
			seen = append(seen, line)
		}
	}
	require.Regexp(t, `"level":"INFO".*"method":"GET","route":"/v1/events","status":200,"duration":.*"correlationId":"my-id"`, seen[0])
	require.Regexp(t, `"route":"unmatched","status":404`, seen[1])
	require.NotContains(t, strings.Join(seen, ""), "secret-value")
	require.Contains(t, a.series(t), `/v1/events GET 200 1`)
	require.Contains(t, a.series(t), `unmatched GET 404 1`)
}

// series lists what was counted, as "route method status count".
func (a *api) series(t *testing.T) []string {
	t.Helper()
	families, err := a.metrics.Gather()
	require.NoError(t, err)
	var out []string
	for _, family := range families {
		if family.GetName() != "audittrail_http_request_seconds" {
			continue
		}
		for _, m := range family.GetMetric() {
			out = append(out, label(m, "route")+" "+label(m, "method")+" "+label(m, "status")+" "+
				strconv.FormatUint(m.GetHistogram().GetSampleCount(), 10))
		}
	}
	return out
}

func label(m *dto.Metric, name string) string {
	for _, l := range m.GetLabel() {
		if l.GetName() == name {
			return l.GetValue()
		}
	}
	return ""
}
