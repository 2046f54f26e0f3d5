package ingest

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"audittrail/platform/kafka"
	"audittrail/platform/kafkatest"
)

func TestMain(m *testing.M) {
	// Only the broker of TEST_KAFKA_LIBS and the fake one outlive a test for a moment.
	os.Exit(m.Run())
}

// patience bounds how long a test waits for a condition.
const patience = 30 * time.Second

// broker is a cluster, fake or real (TEST_KAFKA_BROKERS), with a client for tests.
type broker struct {
	t      testing.TB
	addrs  []string
	client *kgo.Client
	admin  *kadm.Client
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	if os.Getenv(kafkatest.BrokersVariable) != "" {
		return connect(t, kafkatest.Shared(t).Brokers)
	}
	return fakeBroker(t)
}

// fakeBroker is for what a real cluster can't be made to do, or takes long over.
func fakeBroker(t testing.TB, opts ...kfake.Opt) *broker {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, leaks) })
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return connect(t, cluster.ListenAddrs())
}

func connect(t testing.TB, addrs []string) *broker {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return &broker{t: t, addrs: addrs, client: client, admin: kadm.NewClient(client)}
}

// unique makes a name of the test's own: a real cluster is shared.
func unique(prefix string) string { return prefix + "-" + strings.ToLower(rand.Text()[:8]) }

// topic makes a topic and waits until its leaders serve.
func (b *broker) topic(name string, partitions int32) string {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if _, err := b.admin.CreateTopic(ctx, partitions, -1, nil, name); err != nil {
		b.t.Fatalf("create topic %s: %v", name, err)
	}
	b.await(name, partitions)
	return name
}

func (b *broker) await(name string, partitions int32) {
	b.t.Helper()
	eventually(b.t, "topic "+name+" to serve", func() bool {
		ends, err := b.admin.ListEndOffsets(context.Background(), name)
		return err == nil && ends.Error() == nil && len(ends[name]) == int(partitions)
	})
}

// produce writes values to a partition.
func (b *broker) produce(topic string, partition int32, values ...string) {
	b.t.Helper()
	records := make([]*kgo.Record, len(values))
	for i, v := range values {
		records[i] = &kgo.Record{Topic: topic, Partition: partition, Key: []byte("k"), Value: []byte(v)}
	}
	b.write(records...)
}

func (b *broker) write(records ...*kgo.Record) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		b.t.Fatalf("produce: %v", err)
	}
}

// event is a valid event with an id made of n.
func eventJSON(n int) string {
	return fmt.Sprintf(`{"eventId":"00000000-0000-4000-8000-%012x","eventType":"OrderPlaced","aggregateId":"order-%d","aggregateType":"Order","timestamp":"2026-03-01T10:00:00Z","version":1,"payload":{"total":%d},"metadata":{"correlationId":"c-%d","source":"shop"}}`, n+1, n%100, n, n%10)
}

func events(from, to int) []string {
	list := make([]string, 0, to-from)
	for n := from; n < to; n++ {
		list = append(list, eventJSON(n))
	}
	return list
}

// process is a running role.
type process struct {
	t      testing.TB
	role   *Role
	cancel context.CancelFunc
	done   chan error
	ready  chan struct{}
	reg    *prometheus.Registry
}

// setup is what a test varies.
type setup struct {
	options func(*Options)
	deps    func(*Dependencies)
}

func testOptions() Options {
	return Options{
		Start: "earliest", DLQSuffix: ".dlq", DLQCreate: true, MaxBatchEvents: 4000, MaxBatchBytes: 4 << 20,
		MaxRecordBytes: 1 << 20, MaxDepth: 64, MaxFuture: 24 * time.Hour, MaxFetchBytes: 2 << 20,
		MaxInFlightBytes: 48 << 20, Linger: 50 * time.Millisecond, Workers: 2, DrainTimeout: 3 * time.Second,
	}
}

func newRole(t testing.TB, b *broker, st Store, topics []string, s setup) (*Role, *prometheus.Registry) {
	t.Helper()
	options := testOptions()
	if s.options != nil {
		s.options(&options)
	}
	if err := options.Validate(); err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	deps := Dependencies{
		Kafka: kafka.Options{Brokers: b.addrs, Topics: topics, Group: unique("group"), SessionTimeout: 6 * time.Second},
		Store: st, Registry: reg, Log: testLog(t),
	}
	if s.deps != nil {
		s.deps(&deps)
	}
	role, err := New(options, deps)
	if err != nil {
		t.Fatal(err)
	}
	return role, reg
}

func start(t testing.TB, b *broker, st Store, topics []string, s setup) *process {
	t.Helper()
	role, reg := newRole(t, b, st, topics, s)
	ctx, cancel := context.WithCancel(context.Background())
	p := &process{t: t, role: role, cancel: cancel, done: make(chan error, 1), ready: make(chan struct{}), reg: reg}
	go func() { p.done <- role.Run(ctx, func() { close(p.ready) }) }()
	t.Cleanup(func() { cancel(); p.wait() })
	return p
}

// wait answers what Run returned.
func (p *process) wait() error {
	p.t.Helper()
	select {
	case err := <-p.done:
		p.done <- err
		return err
	case <-time.After(patience):
		p.t.Fatal("the role does not end")
		return nil
	}
}

// stop ends the role tidily.
func (p *process) stop() {
	p.t.Helper()
	p.cancel()
	if err := p.wait(); err != nil {
		p.t.Fatalf("Run: %v", err)
	}
}

func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v in vain for %s", patience, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func testLog(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}
