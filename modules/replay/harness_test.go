package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/access"
	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/httpapi/httpapitest"
	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/replay"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/auth/authtest"
	"audittrail/platform/httpserver"
	"audittrail/platform/kafka"
)

const patience = 2 * time.Minute

// system is an event store with an API that makes replays, and workers where a test starts them.
type system struct {
	t        *testing.T
	url      string // of the API
	database string
	client   *http.Client
	issuer   *authtest.Issuer
	store    *store.Appender
	reader   *store.Reader
	targets  *replay.Targets
	brokers  []string
	offset   int64
	seal     func(event.Valid) protect.Sealed
	keys     *protect.Keyring // nil: nothing is sealed
}

var partition = store.Partition{TopicID: event.TopicID{1}, Topic: "orders", Number: 0}

func openPool(t testing.TB, url, role string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	require.NoError(t, err)
	for name, value := range map[string]string{"role": role, "jit": "off", "max_parallel_workers_per_gather": "0", "statement_timeout": "60s", "lock_timeout": "30s"} {
		config.ConnConfig.RuntimeParams[name] = value
	}
	config.MaxConns = 6
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// settings are what a test may change.
type settings struct {
	options replay.Options
	access  access.Options
	brokers []string // those of kfake where nil
	rules   *protect.Rules
	kek     *protecttest.KEK // nil: nothing is sealed
}

func newSystem(t *testing.T, adjust ...func(*settings)) *system {
	t.Helper()
	var set settings
	for _, f := range adjust {
		f(&set)
	}
	s := &system{t: t, database: migratetest.Database(t), issuer: authtest.NewIssuer(t), client: &http.Client{Timeout: patience}, brokers: set.brokers,
		seal: protecttest.Seal}
	if set.kek != nil {
		s.keys = protect.NewKeyring(store.NewKeys(openPool(t, s.database, "audittrail_ingest")), set.kek.Open)
		protector := protect.WithRules(set.rules, s.keys)
		s.seal = func(v event.Valid) protect.Sealed {
			sealed, err := protector.Seal(t.Context(), []event.Valid{v})
			require.NoError(t, err)
			return sealed[0]
		}
	}
	if s.brokers == nil {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.SeedTopics(3, "copy", "orders"))
		require.NoError(t, err)
		t.Cleanup(cluster.Close)
		s.brokers = cluster.ListenAddrs()
	}
	s.store = store.NewAppender(store.AppenderOptions{Pool: openPool(t, s.database, "audittrail_ingest")})
	_, err := s.store.EnsureOffsets(t.Context(), []store.PartitionStart{{Partition: partition}})
	require.NoError(t, err)
	s.targets = replay.NewTargets(set.options, func(topic string) bool { return topic == "configured" }, ".dlq")
	s.serve(set)
	return s
}

// others stands in for the handlers of other modules.
type others struct{ httpapi.StrictServerInterface }

// serve mounts the handlers as cmd/app does, without the other modules' sets.
func (s *system) serve(set settings) {
	t := s.t
	spec, err := httpapitest.Specification()
	require.NoError(t, err)
	log := slog.New(slog.DiscardHandler)
	server, err := httpserver.New(httpserver.Options{Addr: "127.0.0.1:0", MaxRequests: 64}, httpserver.Deps{Log: log, Metrics: prometheus.NewRegistry()})
	require.NoError(t, err)
	verifier, err := auth.NewVerifier(s.issuer.Options(), log)
	require.NoError(t, err)
	pool := openPool(t, s.database, "audittrail_api")
	s.reader = store.NewReader(store.ReaderOptions{Pool: pool, Scoped: true, Opener: s.opener()})
	endpoints := replay.NewEndpoints(replay.EndpointOptions{
		Jobs: store.NewReplays(pool), Reader: s.reader, Targets: s.targets, Rules: set.rules,
		Ingested: ingested(pool),
	})
	served := struct {
		others
		httpapi.Tiles
		*httpapi.Docs
		*replay.Endpoints
	}{others{}, nil, httpapi.NewDocs(spec), endpoints}
	require.NoError(t, httpapi.Mount(server, spec, httpapi.Entrance{Verifier: verifier, Policy: access.NewPolicy(set.access)}, served))
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(running.Wait)
	t.Cleanup(cancel)
	listening := make(chan net.Addr, 1)
	running.Go(func() { verifier.Run(ctx) })
	running.Go(func() { _ = server.Run(ctx, func(addr net.Addr) { listening <- addr }) })
	s.url = "http://" + (<-listening).String()
}

// ingested lists the topics that ingest has read.
func ingested(pool *pgxpool.Pool) func(context.Context) ([]string, error) {
	return func(ctx context.Context) ([]string, error) {
		topics, err := store.Topics(ctx, pool)
		var names []string
		for _, topic := range topics {
			names = append(names, topic.Topic)
		}
		return names, err
	}
}

// opener opens sealed values; nil where nothing is sealed.
func (s *system) opener() *protect.Opener {
	if s.keys == nil {
		return nil
	}
	return protect.NewOpener(s.keys)
}

// worker is a running role.
type worker struct {
	stop    func()
	metrics *prometheus.Registry
}

// work runs the role until stop is called or the test is over.
func (s *system) work(adjust ...func(*replay.Dependencies)) worker {
	t := s.t
	t.Helper()
	pool := openPool(t, s.database, "audittrail_replay")
	registry := prometheus.NewRegistry()
	deps := replay.Dependencies{
		Jobs: store.NewReplayWork(pool, replay.Lease), Reader: store.NewReader(store.ReaderOptions{Pool: pool, Scoped: true, Opener: s.opener()}),
		Targets: s.targets, Ingested: ingested(pool), Kafka: kafka.Options{Brokers: s.brokers, MetadataMaxAge: time.Second}, MaxRecordBytes: 1 << 20,
		Log: slog.New(slog.DiscardHandler), Metrics: registry,
	}
	for _, f := range adjust {
		f(&deps)
	}
	role, err := replay.New(deps)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- role.Run(ctx, func() {}) }()
	stop := sync.OnceFunc(func() {
		cancel()
		require.NoError(t, <-ended)
	})
	t.Cleanup(stop)
	return worker{stop, registry}
}

// order is the n-th event, of one of ten aggregates.
func order(n int) string {
	at := time.Date(2026, 3, 1, 9, 30, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	return fmt.Sprintf(`{"eventId":"0190d3f1-7c3a-7b1e-9c55-%012x","eventType":"Order%s","aggregateId":"o-%d","aggregateType":"Order","timestamp":%q,`+
		`"version":%d,"payload":{"n":%d},"metadata":{"source":"shop"},"extra":{"n":1e20}}`,
		n+1, []string{"Created", "Paid"}[n%2], n%10, at.Format(time.RFC3339Nano), n, n)
}

// append stores n more orders, and whatever else is given.
func (s *system) append(n int, values ...string) {
	s.t.Helper()
	for i := range n {
		values = append(values, order(int(s.offset)+i))
	}
	for len(values) > 0 {
		part := values[:min(len(values), 4000)]
		values = values[len(part):]
		b := store.Batch{Ranges: []store.Range{{Partition: partition, From: s.offset, To: s.offset + int64(len(part)), LeaderEpoch: -1}}}
		for i, value := range part {
			raw := event.Raw{Coordinates: event.Coordinates{TopicID: partition.TopicID, Topic: partition.Topic, Offset: s.offset + int64(i)}, Value: []byte(value)}
			decoded, rejected := event.Decode(raw)
			require.Nil(s.t, rejected)
			valid, rejected := decoded.Validate(event.DefaultRules(), time.Now())
			require.Nil(s.t, rejected)
			b.Events = append(b.Events, s.seal(valid))
		}
		_, err := s.store.Append(s.t.Context(), b)
		require.NoError(s.t, err)
		s.offset += int64(len(part))
	}
}

// all are the stored events by their positions.
func (s *system) all() []event.Stored {
	s.t.Helper()
	var all []event.Stored
	for after := int64(-1); ; {
		page, err := s.reader.FeedBatch(store.WithScope(s.t.Context(), store.Everything()), store.Filter{}, after, 5000, 64<<20)
		require.NoError(s.t, err)
		all, after = append(all, page.Items...), page.ScannedTo
		if !page.More {
			return all
		}
	}
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   map[string]any
}

// ask sends a request as somebody with roles; operator where none is given.
func (s *system) ask(method, path, body string, roles ...string) answer {
	s.t.Helper()
	if roles == nil {
		roles = []string{"operator"}
	}
	r, err := http.NewRequestWithContext(s.t.Context(), method, s.url+path, strings.NewReader(body))
	require.NoError(s.t, err)
	r.Header.Set("Authorization", "Bearer "+s.issuer.Token(map[string]any{"roles": roles, "sub": "ann"}))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	response, err := s.client.Do(r)
	require.NoError(s.t, err)
	defer func() { require.NoError(s.t, response.Body.Close()) }()
	text, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	got := answer{status: response.StatusCode, header: response.Header}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	require.NoError(s.t, decoder.Decode(&got.body), string(text))
	return got
}

// start makes a job, and answers its id.
func (s *system) start(body string) string {
	s.t.Helper()
	got := s.ask(http.MethodPost, "/v1/replays", body)
	require.Equal(s.t, http.StatusCreated, got.status, got.body)
	return got.body["id"].(string)
}

// until waits until a job is in a state, and answers it.
func (s *system) until(id, state string) map[string]any {
	s.t.Helper()
	var got answer
	require.Eventually(s.t, func() bool {
		got = s.ask(http.MethodGet, "/v1/replays/"+id, "")
		if got.status == 200 && got.body["state"] != state && (got.body["state"] == "failed" || got.body["state"] == "completed") {
			s.t.Fatalf("the job ended: %v", got.body)
		}
		return got.body["state"] == state
	}, patience, 20*time.Millisecond, "it is never %s", state)
	return got.body
}

// consume reads committed records of a topic until it has n.
func (s *system) consume(topic string, n int) []*kgo.Record {
	s.t.Helper()
	client := s.consumer(topic)
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	var all []*kgo.Record
	for len(all) < n {
		fetches := client.PollFetches(ctx)
		require.NoError(s.t, ctx.Err(), "%d of %d records", len(all), n)
		all = append(all, fetches.Records()...)
	}
	return all
}

// consumeAll reads all committed records of a topic that nobody writes to any more.
func (s *system) consumeAll(topic string) []*kgo.Record {
	s.t.Helper()
	client := s.consumer(topic, kgo.KeepControlRecords())
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	ends, err := kadm.NewClient(client).ListCommittedOffsets(ctx, topic)
	require.NoError(s.t, err)
	left := map[int32]int64{}
	ends.Each(func(o kadm.ListedOffset) {
		require.NoError(s.t, o.Err)
		if o.Offset > 0 {
			left[o.Partition] = o.Offset
		}
	})
	var all []*kgo.Record
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		require.NoError(s.t, ctx.Err(), "still to come: %v", left)
		fetches.EachRecord(func(r *kgo.Record) {
			if !r.Attrs.IsControl() {
				all = append(all, r)
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return all
}

func (s *system) consumer(topic string, more ...kgo.Opt) *kgo.Client {
	s.t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(s.brokers...), kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}, more...)...)
	require.NoError(s.t, err)
	s.t.Cleanup(client.Close)
	return client
}

func header(r *kgo.Record, name string) string {
	for _, h := range r.Headers {
		if h.Key == name {
			return string(h.Value)
		}
	}
	return ""
}
