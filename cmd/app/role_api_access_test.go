package app

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/longtest"
)

// accessed is an access entry, as far as tests look at it.
type accessed struct {
	Position                              int64
	Phase, Principal, Method, Route, Path string
	Roles                                 []string
	Query                                 map[string][]string
	Status                                int
	Events                                *int
	First, Last                           *int64
	CorrelationID, RemoteAddr, Salt, Time string
}

func (p *program) accesses(query string) []accessed {
	p.t.Helper()
	status, body := p.get("api", "/v1/access-log?order=asc&limit=1000"+query)
	require.Equal(p.t, http.StatusOK, status, body)
	var page struct{ Items []accessed }
	require.NoError(p.t, json.Unmarshal([]byte(body), &page))
	return page.Items
}

func execute(t *testing.T, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	_, err = conn.Exec(t.Context(), sql)
	require.NoError(t, err)
}

// Each request is an entry before its answer leaves, refused ones included.
func TestEveryRequestIsInTheAccessLog(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	p := start(t, "--roles=api", "--postgres.url="+url)
	p.until("admin", "/readyz", http.StatusOK, "")
	good := p.token
	for _, path := range []string{
		"/v1/events?eventType=A&eventType=B&limit=3", "/v1/events?nothing=1&userId=u", "/v1/events/0190d3f1-7c3a-7b1e-9c55-00000000aaaa",
		"/v1/none%00", "/v1/events?payload=%7B%22b%22%3A1.0%2C%22a%22%3A2%7D", "/v1/events?payload=%7B",
		"/openapi.json", "/docs", "/docs/start.js",
	} {
		p.get("api", path)
	}
	p.token = "broken"
	p.get("api", "/v1/events")
	p.token = good

	got := p.accesses("")
	routes := []string{}
	for _, e := range got {
		require.NotEmpty(t, e.CorrelationID)
		require.NotEmpty(t, e.RemoteAddr)
		require.Len(t, e.Salt, 22)
		require.Equal(t, "request", e.Phase)
		routes = append(routes, fmt.Sprintf("%s %s %d", e.Principal, e.Route, e.Status))
	}
	require.Equal(t, []string{
		"tester /v1/events 200", "tester /v1/events 400", "tester /v1/events/{eventId} 404", "anonymous unmatched 404",
		"tester /v1/events 200", "tester /v1/events 400", "anonymous /v1/events 401",
	}, routes)
	require.Equal(t, map[string][]string{"eventType": {"A", "B"}, "limit": {"3"}}, got[0].Query)
	require.Equal(t, map[string][]string{"userId": {"u"}}, got[1].Query, "what the path does not know is not kept")
	require.Equal(t, map[string][]string{"payload": {`{"a":2,"b":1}`}}, got[4].Query)
	require.Empty(t, got[5].Query)
	require.Equal(t, []string{"admin"}, got[0].Roles)
	require.Equal(t, 0, *got[0].Events)
	require.Nil(t, got[0].First)
	for i, e := range got {
		require.Equal(t, int64(i), e.Position)
	}
	require.Len(t, p.accesses("&status=400"), 2)
	require.Len(t, p.accesses("&principal=anonymous&route=unmatched"), 1)
	require.Len(t, p.accesses("&principal=me&method=GET&status=404"), 1)
	status, _ := p.get("api", "/v1/access-log/3/proof")
	require.Equal(t, http.StatusServiceUnavailable, status, "nothing was signed yet")
	status, _ = p.get("api", "/v1/access-log/3000/proof")
	require.Equal(t, http.StatusNotFound, status)
	require.NoError(t, p.stop())
}

// TestConcurrentRequestsAreAllInTheAccessLog: 10,000 requests (3,200 in a quick run) of many kinds, 32 at once, of two
// people and of nobody, leave one entry each, with the status and the events that were answered.
func TestConcurrentRequestsAreAllInTheAccessLog(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	p := start(t, "--roles=api", "--postgres.url="+url, "--http.rate_limit_address=0")
	p.until("admin", "/readyz", http.StatusOK, "")
	const workers = 32
	each := longtest.Choose(t, 100, 313)
	tokens := []string{p.token, p.issuer.Token(map[string]any{"sub": "viewer", "roles": []string{"viewer"}}), "broken"}
	paths := []string{
		"/v1/events?limit=1", "/v1/events?nothing=1", "/v1/events/0190d3f1-7c3a-7b1e-9c55-00000000aaaa", "/v1/me", "/v1/nowhere",
		"/v1/ingest/offsets", "/v1/aggregates/Order/1/events", "/v1/traces/1", "/v1/feed", "/v1/dead-letters", "/v1/events/export?format=csv",
	}
	var (
		running sync.WaitGroup
		answers [workers][]int
	)
	for w := range workers {
		answers[w] = make([]int, each)
		running.Go(func() {
			for i := range each {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.addrs["api"]+paths[(w+i)%len(paths)], nil)
				if err != nil {
					t.Error(err)
					return
				}
				r.Header.Set("Authorization", "Bearer "+tokens[(w*each+i)/7%len(tokens)])
				r.Header.Set("X-Correlation-Id", fmt.Sprintf("%d-%d", w, i))
				response, err := http.DefaultTransport.RoundTrip(r)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				answers[w][i] = response.StatusCode
			}
		})
	}
	running.Wait()
	require.NoError(t, p.stop())

	conn, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer func() { require.NoError(t, conn.Close(context.WithoutCancel(t.Context()))) }()
	var (
		id       string
		entries  int
		statuses = map[int]int{}
		status   int
	)
	rows, _ := conn.Query(t.Context(), `SELECT entry ->> 'correlationId', (entry ->> 'status')::int, count(*)
		FROM access_log WHERE entry ->> 'phase' IN ('request', 'end') GROUP BY 1, 2`)
	count := 0
	_, err = pgx.ForEachRow(rows, []any{&id, &status, &entries}, func() error {
		var w, i int
		if _, err := fmt.Sscanf(id, "%d-%d", &w, &i); err != nil {
			return err
		}
		count++
		statuses[status]++
		if entries != 1 || answers[w][i] != status {
			return fmt.Errorf("%s: %d entries of status %d, answered with %d", id, entries, status, answers[w][i])
		}
		return nil
	})
	require.NoError(t, err)
	require.Equal(t, workers*each, count)
	for _, status := range []int{200, 400, 401, 403, 404} {
		require.Greater(t, statuses[status], 100, status)
	}
}

// Without an entry there is no answer, unless the configuration says so.
func TestWithoutAnAccessLog(t *testing.T) {
	for mode, want := range map[string]int{"strict": http.StatusServiceUnavailable, "best_effort": http.StatusOK} {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			url := migratetest.Database(t)
			p := start(t, "--roles=api", "--access.mode="+mode, "--postgres.url="+url)
			p.until("api", "/v1/events", http.StatusOK, "items")
			execute(t, url, "REVOKE INSERT ON access_log FROM audittrail_api")
			status, body := p.get("api", "/v1/events")
			require.Equal(t, want, status, body)
			if mode == "strict" {
				require.NotContains(t, body, "items")
				require.NotContains(t, body, "permission denied", "the inside is nobody's business")
			}
			_, metrics := p.get("admin", "/metrics")
			require.Contains(t, metrics, "audittrail_access_log_failures_total 1")
			status, _ = p.get("api", "/openapi.json")
			require.Equal(t, http.StatusOK, status)
			execute(t, url, "GRANT INSERT ON access_log TO audittrail_api")
			status, _ = p.get("api", "/v1/events")
			require.Equal(t, http.StatusOK, status)
			require.NoError(t, p.stop())
		})
	}
}

func TestAnUnloggedAccessLogIsRefused(t *testing.T) {
	t.Parallel()
	url := migratetest.Database(t)
	p := start(t, "--roles=api", "--postgres.url="+url)
	p.until("admin", "/readyz", http.StatusOK, "")
	execute(t, url, "DO $$ DECLARE p regclass; BEGIN SELECT inhrelid INTO p FROM pg_inherits WHERE inhparent = 'access_log'::regclass LIMIT 1; EXECUTE format('ALTER TABLE %s SET UNLOGGED', p); END $$")
	p.until("admin", "/readyz", http.StatusServiceUnavailable, "UNLOGGED")
	require.NoError(t, p.stop())
}
