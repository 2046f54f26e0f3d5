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

	"audittrail/platform/kafka"
	"audittrail/platform/kafkatest"
)

// patience bounds how long a test waits for a condition.
const patience = 2 * time.Minute

// broker is a cluster, fake or real (TEST_KAFKA_BROKERS, TEST_KAFKA_LIBS), with a client for tests.
type broker struct {
	t      testing.TB
	addrs  []string
	client *kgo.Client
	admin  *kadm.Client
	fake   *kfake.Cluster // nil for a real one
}

func newBroker(t testing.TB) *broker {
	t.Helper()
	if os.Getenv(kafkatest.BrokersVariable) != "" || os.Getenv(kafkatest.LibsVariable) != "" {
		return connect(t, kafkatest.Shared(t).Brokers)
	}
	return fakeBroker(t)
}

// fakeBroker is for what a real cluster can't be made to do, or takes long over.
func fakeBroker(t testing.TB, opts ...kfake.Opt) *broker {
	t.Helper()
	cluster, err := kfake.NewCluster(append([]kfake.Opt{kfake.NumBrokers(1), kfake.GroupMinSessionTimeout(time.Second)}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	b := connect(t, cluster.ListenAddrs())
	b.fake = cluster
	return b
}

func connect(t testing.TB, addrs []string) *broker {
	client, err := kgo.NewClient(kgo.SeedBrokers(addrs...), kgo.MetadataMinAge(50*time.Millisecond), kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(16<<20))
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
		MaxRecordBytes: 1 << 20, MaxDepth: 64, MaxFuture: 24 * time.Hour, MaxFetchBytes: 1 << 20,
		MaxInFlightBytes: 32 << 20, Linger: 50 * time.Millisecond, Workers: 2, DrainTimeout: 3 * time.Second,
	}
}

// inGroup has a role join a group of that name, as one process of several.
func inGroup(group string) setup {
	return setup{deps: func(d *Dependencies) { d.Kafka.Group = group }}
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
		Kafka: kafka.Options{Brokers: b.addrs, Topics: topics, Group: unique("group"), SessionTimeout: 6 * time.Second, MetadataMaxAge: 200 * time.Millisecond},
		Store: st, Registry: reg, Log: testLog(t), watchEvery: 200 * time.Millisecond,
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
	t.Cleanup(func() { cancel(); _ = p.wait() }) // a test that minds asks itself
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
		pass(5 * time.Millisecond)
	}
}

func testLog(t testing.TB) *slog.Logger {
	if !testing.Verbose() {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelInfo}))
}

// minSession is the shortest session of the fake broker.
const minSession = time.Second

// pass lets time pass. It is for what must not happen within it.
func pass(d time.Duration) { sleep(context.Background(), d) }

// value is the sum of a metric's series that carry all the label values.
func value(t testing.TB, reg *prometheus.Registry, name string, labels ...string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		sum := 0.0
		for _, m := range f.GetMetric() {
			has := map[string]bool{}
			for _, l := range m.GetLabel() {
				has[l.GetValue()] = true
			}
			all := true
			for _, l := range labels {
				all = all && has[l]
			}
			if all {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetHistogram().GetSampleSum()
			}
		}
		return sum
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// members is how many members a stable group has; 0 while it is not stable.
func (b *broker) members(group string) int {
	described, err := b.admin.DescribeGroups(context.Background(), group)
	if err != nil || described[group].State != "Stable" {
		return 0
	}
	return len(described[group].Members)
}

// generation tells a group's members apart from those after a rebalance.
func (b *broker) generation(group string) string {
	b.t.Helper()
	described, err := b.admin.DescribeGroups(context.Background(), group)
	if err != nil {
		b.t.Fatal(err)
	}
	text := described[group].State
	for _, m := range described[group].Members {
		text += " " + m.MemberID
	}
	return text
}
