package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/httpapi/httpapitest"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/query"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/cache"
	"audittrail/platform/httpserver"
	"audittrail/platform/logging"
)

// api is a running API over a database of its own. Every answer that it gives is checked against the
// specification.
type api struct {
	url     string
	issuer  *authtest.Issuer
	store   *store.Appender
	router  routers.Router
	client  *http.Client
	metrics *prometheus.Registry
	log     *lines
	stop    func() error // stops serving and answers what Run returned
	offset  int64        // the next offset of the one partition

	database string            // its URL
	key      ledger.SigningKey // what sign signs with
}

// lines collects log lines.
type lines struct{ got chan string }

func (l *lines) Write(p []byte) (int, error) {
	select {
	case l.got <- string(p):
	default:
	}
	return len(p), nil
}

var partition = store.Partition{TopicID: event.TopicID{1}, Topic: "orders", Number: 0}

func openPool(t testing.TB, url, role string, params map[string]string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["role"] = role
	for name, value := range params {
		config.ConnConfig.RuntimeParams[name] = value
	}
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func apiPool(t testing.TB, url string) *pgxpool.Pool {
	t.Helper()
	return openPool(t, url, "audittrail_api", map[string]string{
		"statement_timeout": "5s", "jit": "off", "max_parallel_workers_per_gather": "0",
	})
}

func newAPI(t testing.TB) *api {
	t.Helper()
	url := migratetest.Database(t)
	return newAPIOn(t, url, startAPI(t, apiPool(t, url)))
}

// newAPIOn gives an API that runs over a database what it takes to fill that.
func newAPIOn(t testing.TB, url string, a *api) *api {
	t.Helper()
	a.database = url
	a.store = store.NewAppender(store.AppenderOptions{Pool: openPool(t, url, "audittrail_ingest", map[string]string{"lock_timeout": "5s"})})
	_, err := a.store.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: partition}})
	require.NoError(t, err)
	return a
}

// settings are what a test may change of the API that it starts.
type settings struct {
	maxRequests   int
	drain         time.Duration
	publicLedger  bool
	snapshotEvery int
	access        access.Options
	heartbeat     time.Duration // of streams; 0 for the usual
	replicas      *store.Replicas
	kept          func(context.Context, []store.DeadLetter) error
	cache         store.Cache
}

// startAPI serves the handlers over a pool until the test is over.
func startAPI(t testing.TB, pool *pgxpool.Pool, adjust ...func(*settings)) *api {
	t.Helper()
	a := &api{issuer: authtest.NewIssuer(t), metrics: prometheus.NewRegistry(), log: &lines{got: make(chan string, 1000)}}
	// Compressed, the texts of exports that must not be at their end soon would fit into the sockets.
	a.client = &http.Client{Transport: &http.Transport{DisableCompression: true}, Timeout: 40 * time.Second}
	s := settings{maxRequests: 64, cache: processCache(t)}
	for _, f := range adjust {
		f(&s)
	}
	run := a.assemble(t, pool, s)
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan net.Addr, 1), make(chan error, 1)
	go func() { ended <- run(ctx, func(addr net.Addr) { listening <- addr }) }()
	stopped := false
	a.stop = func() error {
		stopped = true
		cancel()
		return <-ended
	}
	t.Cleanup(func() {
		a.client.CloseIdleConnections()
		if !stopped {
			require.NoError(t, a.stop())
		}
	})
	select {
	case addr := <-listening:
		a.url = "http://" + addr.String()
	case err := <-ended:
		t.Fatal(err)
	}
	var err error
	a.router, err = httpapitest.Router()
	require.NoError(t, err)
	return a
}

// processCache is a cache as an API has without Redis.
func processCache(t testing.TB) store.Cache {
	t.Helper()
	kept, err := cache.New(nil, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { kept.Run(ctx) })
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return kept
}

// assemble mounts the handlers as cmd/app does, without the other modules' sets.
func (a *api) assemble(t testing.TB, pool *pgxpool.Pool, s settings) (run func(context.Context, func(net.Addr)) error) {
	t.Helper()
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	log := logging.New(a.log, logging.Options{Level: "info", Format: "json"})
	server, err := httpserver.New(httpserver.Options{Addr: "127.0.0.1:0", MaxRequests: s.maxRequests},
		httpserver.Deps{Log: log, Metrics: a.metrics, Drain: s.drain})
	require.NoError(t, err)
	verifier, err := auth.NewVerifier(a.issuer.Options(), log)
	require.NoError(t, err)
	reader := store.NewReader(store.ReaderOptions{Pool: pool, Replicas: s.replicas, Cache: s.cache, Scoped: true})
	handlers, err := query.NewHandlers(query.Options{
		Letters: store.NewLetters(pool), Kept: s.kept,
		Reader: reader, MaxWaits: s.maxRequests / 2, Metrics: a.metrics,
		SnapshotEvery: s.snapshotEvery, Heartbeat: s.heartbeat,
	})
	require.NoError(t, err)
	served := struct {
		others
		*httpapi.Docs
		*query.Handlers
	}{others{}, httpapi.NewDocs(spec), handlers}
	require.NoError(t, httpapi.Mount(server, spec, httpapi.Entrance{Verifier: verifier, Seats: reader, Policy: access.NewPolicy(s.access), PublicLedger: s.publicLedger}, served))
	return func(ctx context.Context, listening func(net.Addr)) error {
		ctx, cancel := context.WithCancel(ctx)
		var running sync.WaitGroup
		defer running.Wait()
		defer cancel()
		running.Go(func() { verifier.Run(ctx) })
		running.Go(func() { handlers.Run(ctx) })
		return server.Run(ctx, listening)
	}
}

// others stands in for the handlers of other modules, which have tests of their own.
type others struct{ httpapi.StrictServerInterface }

// isElsewhere reports whether another module answers a path, or other tests ask it: it wants more than a GET.
func isElsewhere(path string) bool {
	return slices.ContainsFunc([]string{"/v1/replays", "/v1/dead-letters/redrive", "/v1/dead-letters/dismiss", "/v1/stats", "/v1/processes", "/v1/anomalies", "/v1/subjects"},
		func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) decode(t testing.TB, into any) {
	t.Helper()
	require.NoError(t, json.Unmarshal(a.body, into), string(a.body))
}

// problem is a refusal's document.
type problem struct {
	Type, Title, Detail, Code, CorrelationID string
	Status                                   int
	Errors                                   []struct{ Field, Detail string }
}

// refused checks that the answer is the problem that is wanted, and answers it.
func (a answer) refused(t testing.TB, status int, code, field string) problem {
	t.Helper()
	require.Equal(t, status, a.status, string(a.body))
	require.Equal(t, "application/problem+json", a.header.Get("Content-Type"))
	var p problem
	a.decode(t, &p)
	require.Equal(t, code, p.Code, p.Detail)
	require.Equal(t, status, p.Status)
	require.Equal(t, a.header.Get("X-Correlation-Id"), p.CorrelationID)
	if field != "" {
		require.Len(t, p.Errors, 1)
		require.Equal(t, field, p.Errors[0].Field)
	}
	return p
}

// get asks with a good token.
func (a *api) get(t testing.TB, path string) answer {
	t.Helper()
	return a.send(t, a.request(t, path))
}

func (a *api) request(t testing.TB, path string) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+path, nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+a.issuer.Token(nil))
	return r
}

func (a *api) send(t testing.TB, r *http.Request) answer {
	t.Helper()
	response, err := a.client.Do(r)
	require.NoError(t, err)
	defer func() { require.NoError(t, response.Body.Close()) }()
	body, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	got := answer{response.StatusCode, response.Header, body}
	a.check(t, r, got)
	return got
}

// check holds an answer against the specification. Paths that are not in it have only the headers that
// every answer has.
func (a *api) check(t testing.TB, r *http.Request, got answer) {
	t.Helper()
	require.NotEmpty(t, got.header.Get("X-Correlation-Id"))
	require.Equal(t, "nosniff", got.header.Get("X-Content-Type-Options"))
	asked := r.Clone(r.Context())
	asked.URL.Host, asked.URL.Scheme, asked.Host = "", "", ""
	route, params, err := a.router.FindRoute(asked)
	if err != nil {
		return
	}
	require.NotNil(t, route.Operation.Responses.Status(got.status), "status %d is not in the specification of %s", got.status, r.URL.Path)
	html := strings.HasPrefix(got.header.Get("Content-Type"), "text/html") // whose bodies can't be checked
	err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route},
		Status:                 got.status, Header: got.header, Body: io.NopCloser(strings.NewReader(string(got.body))),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: html, MultiError: true},
	})
	require.NoError(t, err, string(got.body))
	known := everyAnswersHeaders()
	for name := range route.Operation.Responses.Status(got.status).Value.Headers {
		known = append(known, http.CanonicalHeaderKey(name))
	}
	for name := range got.header {
		require.Contains(t, known, name, "a header that is not in the specification of %s, status %d", route.Path, got.status)
	}
}

// everyAnswersHeaders are those of HTTP itself, and those for browsers, of which the specification tells at
// its beginning.
func everyAnswersHeaders() []string {
	return []string{
		"Content-Type", "Content-Length", "Date", "Connection", "Content-Security-Policy", "Cross-Origin-Resource-Policy",
		"Referrer-Policy", "Strict-Transport-Security", "X-Content-Type-Options", "X-Frame-Options",
	}
}

// append stores records, given as values, and answers the receipt.
func (a *api) append(t testing.TB, values ...string) store.Receipt {
	t.Helper()
	return a.appendWith(t, []byte("key"), []event.Header{{Key: "h\xff", Value: []byte{1}}, {Key: "none"}}, values...)
}

func (a *api) appendWith(t testing.TB, key []byte, headers []event.Header, values ...string) store.Receipt {
	t.Helper()
	b := store.Batch{Ranges: []store.Range{{Partition: partition, From: a.offset, To: a.offset + int64(len(values)), LeaderEpoch: -1}}}
	for i, value := range values {
		raw := event.Raw{
			Coordinates: event.Coordinates{TopicID: partition.TopicID, Topic: partition.Topic, Offset: a.offset + int64(i)},
			Key:         key, Value: []byte(value), Headers: headers,
		}
		decoded, rejected := event.Decode(raw)
		if rejected == nil {
			var valid event.Valid
			if valid, rejected = decoded.Validate(event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 24 * time.Hour}, time.Now()); rejected == nil {
				b.Events = append(b.Events, protecttest.Seal(valid))
				continue
			}
		}
		b.Rejected = append(b.Rejected, *rejected)
	}
	receipt, err := a.store.Append(t.Context(), b)
	require.NoError(t, err)
	a.offset += int64(len(values))
	return receipt
}

// id is the n-th test event's id.
func id(n int) string { return fmt.Sprintf("0190d3f1-7c3a-7b1e-9c55-%012x", n) }

// order is the n-th test event: of the aggregate given, a minute after the one before.
func order(n int, aggregateType, aggregateID string) string {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC).Add(time.Duration(n) * time.Minute)
	value, err := json.Marshal(map[string]any{
		"eventId": id(n), "eventType": "OrderCreated", "aggregateId": aggregateID, "aggregateType": aggregateType,
		"timestamp": at.Format(time.RFC3339Nano), "version": 1, "payload": map[string]any{"n": n},
		"metadata": map[string]any{"correlationId": "c", "source": "test"},
	})
	if err != nil {
		panic(err)
	}
	return string(value)
}

// list is any list's answer.
type list struct {
	Items      []map[string]any
	NextCursor *string
	ScannedTo  int64
}

func (a *api) list(t testing.TB, path string) list {
	t.Helper()
	got := a.get(t, path)
	require.Equal(t, http.StatusOK, got.status, string(got.body))
	var l list
	got.decode(t, &l)
	return l
}

func (l list) all(member string) []any {
	out := []any{}
	for _, item := range l.Items {
		out = append(out, item[member])
	}
	return out
}
