package app

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"audittrail/modules/ledger"
	"audittrail/modules/migrate"
	"audittrail/modules/migrate/migratetest"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/config"
)

// patience is how long a condition may take. It is long, since machines are busy; nothing waits for it
// where all is well.
const patience = 2 * time.Minute

// program is a run of the whole program inside the test.
type program struct {
	t      *testing.T
	cancel context.CancelFunc
	ended  chan error
	token  string
	issuer *authtest.Issuer

	mu    sync.Mutex
	addrs map[string]string
	told  chan struct{} // closed when all listeners are up
}

const origin = "audit.example.com/shop"

// signingKey is a signing key out of one byte.
func signingKey(t testing.TB, seed byte) ledger.SigningKey {
	t.Helper()
	k, err := ledger.GenerateKey(origin, bytes.NewReader(bytes.Repeat([]byte{seed}, 32)))
	require.NoError(t, err)
	return k
}

// start runs the program with the roles given, on free ports.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	return startLogging(t, io.Discard, args...)
}

// startLogging runs it as serve does: with a log, and with what the environment asks for.
func startLogging(t *testing.T, log io.Writer, args ...string) *program {
	t.Helper()
	issuer := authtest.NewIssuer(t)
	trust := issuer.Options()
	c, err := load(t, append([]string{"--http.addr=127.0.0.1:0", "--admin.addr=127.0.0.1:0", "--auth.issuer=" + trust.Issuer,
		"--auth.audience=" + trust.Audience, "--auth.jwks_file=" + trust.JWKSFile,
		"--ledger.origin=" + origin, "--ledger.signing_key=" + signingKey(t, 1).Secret(),
		"--notary.state_file=" + filepath.Join(t.TempDir(), "notary.json")}, args...)...)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	p := &program{t: t, cancel: cancel, ended: make(chan error, 1), issuer: issuer, token: issuer.Token(nil),
		addrs: map[string]string{}, told: make(chan struct{})}
	want := 1
	for _, r := range chosen(c) {
		if r.needs.listens {
			want++
		}
	}
	o, err := Observe(ctx, log, Options{Config: c, Listening: func(name string, addr net.Addr) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.addrs[name] = addr.String(); len(p.addrs) == want {
			close(p.told)
		}
	}})
	require.NoError(t, err)
	go func() { p.ended <- Run(ctx, o) }()
	t.Cleanup(cancel)
	return p
}

// stop asks the program to stop and gives what Run returned.
func (p *program) stop() error {
	p.cancel()
	select {
	case err := <-p.ended:
		return err
	case <-time.After(patience):
		return errors.New("the program did not stop")
	}
}

// get asks one of the listeners.
func (p *program) get(listener, path string) (int, string) {
	p.t.Helper()
	select {
	case <-p.told:
	case err := <-p.ended:
		p.t.Fatalf("the program ended: %v", err)
	case <-time.After(patience):
		p.t.Fatal("the listeners are not up")
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+p.addrs[listener]+path, nil)
	require.NoError(p.t, err)
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Close = true
	res, err := http.DefaultTransport.RoundTrip(req)
	require.NoError(p.t, err)
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	require.NoError(p.t, err)
	return res.StatusCode, string(body)
}

// until waits until a path answers with the status, and gives the body.
func (p *program) until(listener, path string, status int, contains string) string {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		got, body := p.get(listener, path)
		if got == status && strings.Contains(body, contains) {
			return body
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			p.t.Fatalf("%s answers %d %s; wanted %d %s", path, got, body, status, contains)
		}
	}
}

// broker is a simulated Kafka with one topic.
func broker(t *testing.T) (brokers string) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(2, "orders"))
	require.NoError(t, err)
	t.Cleanup(cluster.Close)
	return strings.Join(cluster.ListenAddrs(), ",")
}

func produce(t *testing.T, brokers string, values ...string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(brokers, ",")...))
	require.NoError(t, err)
	defer client.Close()
	for _, v := range values {
		require.NoError(t, client.ProduceSync(context.Background(), &kgo.Record{Topic: "orders", Value: []byte(v)}).FirstErr())
	}
}

const order = `{"eventId":"6b1b0c3a-6a5f-4f0e-9b1e-2f5d1c9a7e%02d","eventType":"OrderPlaced","aggregateId":"o-1",
	"aggregateType":"Order","timestamp":"2026-01-02T03:04:05Z","version":1,"payload":{"total":"1.50"}}`

func TestFromKafkaToTheAPI(t *testing.T) {
	database, brokers := migratetest.Database(t), broker(t)
	leaks := goleak.IgnoreCurrent()
	p := start(t, "--postgres.url="+database, "--kafka.brokers="+brokers, "--kafka.topics=orders")
	p.until("admin", "/readyz", 200, "")
	status, _ := p.get("admin", "/startupz")
	require.Equal(t, 200, status)

	produce(t, brokers, fmt.Sprintf(order, 1), fmt.Sprintf(order, 2), fmt.Sprintf(order, 1), "no event")
	body := p.until("api", "/v1/events?aggregateType=Order", 200, "7e02")
	var list struct{ Items []struct{ EventID string } }
	require.NoError(t, json.Unmarshal([]byte(body), &list))
	require.Len(t, list.Items, 2)
	p.until("api", "/v1/dead-letters", 200, "malformed_json")

	_, metrics := p.get("admin", "/metrics")
	for _, name := range []string{"audittrail_build_info", "audittrail_ingest_records_total", "audittrail_http_request_seconds",
		"audittrail_db_pool_connections"} {
		require.Contains(t, metrics, name)
	}
	require.NoError(t, p.stop())
	require.NoError(t, goleak.Find(leaks))
}

func TestAnOutdatedSchemaIsWaitedFor(t *testing.T) {
	t.Parallel()
	database := migratetest.EmptyDatabase(t)
	p := start(t, "--postgres.url="+database, "--kafka.brokers="+broker(t), "--kafka.topics=orders")
	body := p.until("admin", "/readyz", 503, "run audittrail migrate up")
	require.Contains(t, body, `"role":"ingest"`)
	require.Contains(t, body, `"role":"api"`)
	p.until("admin", "/startupz", 200, "")
	status, _ := p.get("api", "/openapi.json")
	require.Equal(t, 200, status)

	require.NoError(t, migrate.Up(context.Background(), migrate.Options{URL: database}))
	p.until("admin", "/readyz", 200, "")
	require.NoError(t, p.stop())
}

func TestADatabaseThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	server := migratetest.Server(t)
	server.Stop()
	p := start(t, "--postgres.url="+server.URL(), "--kafka.brokers="+broker(t), "--kafka.topics=orders")
	p.until("admin", "/readyz", 503, "schema")
	status, _ := p.get("admin", "/startupz")
	require.Equal(t, 200, status)
	status, body := p.get("api", "/v1/events")
	require.Equal(t, 503, status, body)
	require.NotContains(t, body, "127.0.0.1") // nothing of the inside

	server.Start()
	p.until("admin", "/readyz", 200, "")
	server.Stop()
	p.until("admin", "/readyz", 503, "")
	status, _ = p.get("admin", "/livez")
	require.Equal(t, 200, status)
	server.Start()
	p.until("admin", "/readyz", 200, "")
	require.NoError(t, p.stop())
}

func TestABrokerThatIsAwayIsWaitedFor(t *testing.T) {
	t.Parallel()
	p := start(t, "--postgres.url="+migratetest.Database(t), "--kafka.brokers=127.0.0.1:1", "--kafka.topics=orders")
	p.until("admin", "/readyz", 503, `"role":"ingest","ready":false`)
	p.until("api", "/v1/events", 200, "items") // the others work
	require.NoError(t, p.stop())
}

func TestOnlyWhatTheChosenRolesNeedIsOpened(t *testing.T) {
	t.Parallel()
	p := start(t, "--roles=api", "--postgres.url="+migratetest.Database(t))
	p.until("admin", "/readyz", 200, "")
	_, metrics := p.get("admin", "/metrics")
	require.NotContains(t, metrics, "audittrail_ingest_")
	require.NotContains(t, metrics, `pool="ingest"`)
	require.NoError(t, p.stop())
}

func TestAnAddressThatIsTakenEndsTheProgram(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer taken.Close()
	database := migratetest.Database(t)
	for key, want := range map[string]string{"admin.addr": "admin.addr: ", "http.addr": "role api: http.addr: "} {
		p := start(t, "--roles=api", "--postgres.url="+database, "--"+key+"="+taken.Addr().String())
		require.ErrorContains(t, <-p.ended, want)
	}
}

func TestWhatCannotWorkIsRefusedBeforeAnythingIsOpened(t *testing.T) {
	c, err := load(t, "--roles=api", "--admin.tls.cert=x", "--admin.tls.key="+filepath.Join(t.TempDir(), "none"))
	require.NoError(t, err)
	err = Run(context.Background(), Options{Config: c, Log: slog.New(slog.DiscardHandler)})
	var invalid *config.Error
	require.ErrorAs(t, err, &invalid)
	require.ErrorContains(t, err, "postgres.url must be given")
}

// TestALoginWithoutRightsOfItsOwn runs the program as production should: the login owns nothing and
// inherits nothing, each pool takes its own role.
func TestALoginWithoutRightsOfItsOwn(t *testing.T) {
	t.Parallel()
	database, brokers := migratetest.Database(t), broker(t)
	u, err := url.Parse(database)
	require.NoError(t, err)
	login := fmt.Sprintf("serve_%x", time.Now().UnixNano())
	admin, err := pgx.Connect(t.Context(), database)
	require.NoError(t, err)
	defer func() {
		_, err := admin.Exec(context.Background(), "DROP ROLE "+login)
		require.NoError(t, err)
		require.NoError(t, admin.Close(context.Background()))
	}()
	_, err = admin.Exec(t.Context(), "CREATE ROLE "+login+" LOGIN NOINHERIT PASSWORD 'p' "+
		"IN ROLE audittrail_ingest, audittrail_api, audittrail_replay, audittrail_analytics, audittrail_maintain, audittrail_notary, audittrail_owner")
	require.NoError(t, err)
	u.User = url.UserPassword(login, "p")

	p := start(t, "--postgres.url="+u.String(), "--kafka.brokers="+brokers, "--kafka.topics=orders")
	p.until("admin", "/readyz", 200, "")
	produce(t, brokers, fmt.Sprintf(order, 1))
	p.until("api", "/v1/events", 200, "7e01")
	require.NoError(t, p.stop())
}
