package analytics_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"audittrail/modules/access"
	"audittrail/modules/analytics"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/httpapi/httpapitest"
	"audittrail/modules/ledger"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/httpserver"
)

func TestMain(m *testing.M) {
	for _, kind := range []string{"text/csv", httpapi.MermaidType, httpapi.GraphvizType} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
	}
	m.Run()
}

// fixture is an event store, the role's database, and an API over both.
type fixture struct {
	url      string
	conn     *pgx.Conn // a superuser's, to look
	appender *store.Appender
	offset   int64

	api    string
	issuer *authtest.Issuer
}

var partition = store.Partition{TopicID: event.TopicID{1}, Topic: "orders"}

func openPool(t testing.TB, url, role string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	config.ConnConfig.RuntimeParams["role"] = role
	config.ConnConfig.RuntimeParams["max_parallel_workers_per_gather"] = "0"
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	f := &fixture{url: migratetest.Database(t), issuer: authtest.NewIssuer(t)}
	var err error
	f.conn, err = pgx.Connect(t.Context(), f.url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = f.conn.Close(context.Background()) })
	f.appender = store.NewAppender(store.AppenderOptions{Pool: openPool(t, f.url, "audittrail_ingest")})
	_, err = f.appender.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: partition}})
	require.NoError(t, err)
	f.serve(t)
	return f
}

// serve starts the API over the analytics' handlers.
func (f *fixture) serve(t testing.TB) {
	t.Helper()
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	server, err := httpserver.New(httpserver.Options{Addr: "127.0.0.1:0", MaxRequests: 64}, httpserver.Deps{Log: log, Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	verifier, err := auth.NewVerifier(f.issuer.Options(), log)
	require.NoError(t, err)
	type rest struct{ httpapi.StrictServerInterface }
	served := struct {
		*httpapi.Docs
		*analytics.API
		rest
	}{httpapi.NewDocs(spec), analytics.NewAPI(store.NewReader(store.ReaderOptions{Pool: openPool(t, f.url, "audittrail_api"), Scoped: true})), rest{}}
	policy := access.NewPolicy(access.Options{Roles: []access.RoleOptions{
		{Name: "orders-only", Permissions: []string{"analytics:read", "analytics:write"}, Scope: access.ScopeOptions{EventTypes: []string{"Order*"}, Sources: []string{"sho?"}}},
	}})
	require.NoError(t, httpapi.Mount(server, spec, httpapi.Entrance{Verifier: verifier, Policy: policy}, tiled{served}))
	ctx, cancel := context.WithCancel(context.Background())
	listening, ended := make(chan string, 1), make(chan error, 1)
	var background sync.WaitGroup
	background.Go(func() { verifier.Run(ctx) })
	go func() { ended <- server.Run(ctx, func(addr net.Addr) { listening <- addr.String() }) }()
	t.Cleanup(func() {
		cancel()
		require.NoError(t, <-ended)
		background.Wait()
	})
	f.api = "http://" + <-listening
}

// tiled gives the API the paths that the specification does not know.
type tiled struct{ httpapi.StrictServerInterface }

func (tiled) Tile(context.Context, ledger.Log, ledger.TileID, int) ([]ledger.Hash, error) {
	return nil, errors.New("not asked for")
}

// role is the role, as it is tested.
func (f *fixture) role(t testing.TB, adjust ...func(*analytics.Dependencies)) *analytics.Role {
	t.Helper()
	deps := analytics.Dependencies{Pool: openPool(t, f.url, "audittrail_analytics"), Interval: 10 * time.Millisecond, Batch: 500, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, a := range adjust {
		a(&deps)
	}
	role, err := analytics.New(deps)
	require.NoError(t, err)
	return role
}

// start runs the role until stop is called or the test is over.
func (f *fixture) start(t testing.TB, adjust ...func(*analytics.Dependencies)) (stop func()) {
	t.Helper()
	return run(t, f.role(t, adjust...))
}

func run(t testing.TB, role *analytics.Role) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- role.Run(ctx, func() {}) }()
	stop = sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return stop
}

// caughtUp waits until everything that is stored is counted.
func (f *fixture) caughtUp(t testing.TB) {
	t.Helper()
	require.Eventually(t, func() bool {
		var behind int64
		err := f.conn.QueryRow(t.Context(), `SELECT coalesce((SELECT max(first_position + count) FROM ledger_batches WHERE log = 'events'), 0)
			- coalesce((SELECT min(position) FROM analytics_cursors WHERE name = 'counts'), 0)`).Scan(&behind)
		return err == nil && behind == 0
	}, time.Minute, 10*time.Millisecond, "the analytics catch up")
}

// append stores events, given as JSON, in one batch.
func (f *fixture) append(t testing.TB, values ...[]byte) {
	t.Helper()
	b := store.Batch{Ranges: []store.Range{{Partition: partition, From: f.offset, To: f.offset + int64(len(values)), LeaderEpoch: -1}}}
	for i, value := range values {
		sealed, rejected := decide(event.Raw{
			Coordinates: event.Coordinates{TopicID: partition.TopicID, Topic: partition.Topic, Offset: f.offset + int64(i)}, Value: value,
		})
		if rejected != nil {
			b.Rejected = append(b.Rejected, *rejected)
			continue
		}
		b.Events = append(b.Events, sealed)
	}
	_, err := f.appender.Append(t.Context(), b)
	require.NoError(t, err)
	f.offset += int64(len(values))
}

func decide(raw event.Raw) (protect.Sealed, *event.Rejected) {
	decoded, rejected := event.Decode(raw)
	if rejected != nil {
		return protect.Sealed{}, rejected
	}
	valid, rejected := decoded.Validate(event.Rules{MaxDepth: 64, MaxRecordBytes: 1 << 20, MaxFuture: 24 * time.Hour}, time.Now())
	if rejected != nil {
		return protect.Sealed{}, rejected
	}
	return protecttest.Seal(valid), nil
}

// purchaseOrders are real events: an excerpt, or the whole file that TEST_PURCHASE_ORDERS names.
func purchaseOrders(t testing.TB) [][]byte {
	t.Helper()
	name := os.Getenv("TEST_PURCHASE_ORDERS")
	if name == "" {
		name = "../../cmd/systemtest/testdata/purchase-orders-excerpt.jsonl.gz"
	}
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	require.NoError(t, err)
	var lines [][]byte
	for scanner := bufio.NewScanner(unpacked); scanner.Scan(); {
		lines = append(lines, bytes.Clone(scanner.Bytes()))
	}
	return lines
}

func (f *fixture) appendAll(t testing.TB, values [][]byte) {
	t.Helper()
	for len(values) > 0 {
		n := min(700, len(values))
		f.append(t, values[:n]...)
		values = values[n:]
	}
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (f *fixture) get(t testing.TB, path string, roles ...string) answer {
	t.Helper()
	return f.ask(t, http.MethodGet, path, "", "application/json", roles...)
}

// ask sends a request of Ann's, and holds the answer against the specification.
func (f *fixture) ask(t testing.TB, method, path, body, accept string, roles ...string) answer {
	t.Helper()
	return f.askAs(t, "ann", method, path, body, accept, roles...)
}

func (f *fixture) askAs(t testing.TB, caller, method, path, body, accept string, roles ...string) answer {
	t.Helper()
	if len(roles) == 0 {
		roles = []string{"admin"}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, f.api+path, strings.NewReader(body))
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer "+f.issuer.Token(map[string]any{"sub": caller, "roles": roles}))
	r.Header.Set("Accept", accept)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultTransport.RoundTrip(r)
	require.NoError(t, err)
	defer response.Body.Close()
	got := answer{status: response.StatusCode, header: response.Header}
	got.body, err = io.ReadAll(response.Body)
	require.NoError(t, err)
	asked := r.Clone(r.Context())
	asked.URL.Host, asked.URL.Scheme, asked.Host = "", "", ""
	operations, err := httpapitest.Router()
	require.NoError(t, err)
	route, params, err := operations.FindRoute(asked)
	require.NoError(t, err, path)
	require.NoError(t, openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: asked, PathParams: params, Route: route},
		Status:                 got.status, Header: got.header, Body: io.NopCloser(bytes.NewReader(got.body)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}), string(got.body))
	return got
}

func (a answer) decode(t testing.TB, into any) {
	t.Helper()
	require.Equal(t, http.StatusOK, a.status, string(a.body))
	require.NoError(t, json.Unmarshal(a.body, into), string(a.body))
}

// refused checks that the answer is a problem with this code.
func (a answer) refused(t testing.TB, status int, code, field string) {
	t.Helper()
	require.Equal(t, status, a.status, string(a.body))
	var p struct {
		Code   string
		Errors []struct{ Field string }
	}
	require.NoError(t, json.Unmarshal(a.body, &p))
	require.Equal(t, code, p.Code, string(a.body))
	if field != "" {
		require.Len(t, p.Errors, 1)
		require.Equal(t, field, p.Errors[0].Field)
	}
}

func jsonOf(v any) (string, error) {
	b, err := json.Marshal(v)
	return string(b), err
}
