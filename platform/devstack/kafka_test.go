package devstack

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/platform/kafka"
)

func brokerClient(t *testing.T, brokers []string, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append(opts, kgo.SeedBrokers(brokers...))...)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// topicID asks the broker itself: kadm may answer from the client's cache.
func topicID(t *testing.T, brokers []string, topic string) [16]byte {
	t.Helper()
	client := brokerClient(t, brokers)
	defer client.Close()
	req := kmsg.NewPtrMetadataRequest()
	want := kmsg.NewMetadataRequestTopic()
	want.Topic = kmsg.StringPtr(topic)
	req.Topics = append(req.Topics, want)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if code := resp.Topics[0].ErrorCode; code != 0 {
		t.Fatalf("metadata of %s: error code %d", topic, code)
	}
	return resp.Topics[0].TopicID
}

func produce(t *testing.T, brokers []string, topic string, from, to int) {
	t.Helper()
	client := brokerClient(t, brokers)
	defer client.Close()
	for i := from; i < to; i++ {
		r := &kgo.Record{Topic: topic, Partition: 0, Value: fmt.Appendf(nil, "record %d", i)}
		if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
}

// wantRecords reads the topic's only partition from its start and compares offsets and values.
func wantRecords(t *testing.T, brokers []string, topic string, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	client := brokerClient(t, brokers, kgo.ConsumeTopics(topic))
	defer client.Close()
	for next := 0; next < n; {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatalf("after %d of %d records: %v", next, n, err)
		}
		fetches.EachRecord(func(r *kgo.Record) {
			if r.Offset != int64(next) || string(r.Value) != fmt.Sprintf("record %d", next) {
				t.Fatalf("offset %d holds %q, want record %d", r.Offset, r.Value, next)
			}
			next++
		})
	}
}

func ensureTopic(t *testing.T, k *Kafka) error {
	t.Helper()
	client := brokerClient(t, k.Brokers())
	defer client.Close()
	return kafka.EnsureTopics(t.Context(), client, 1, "orders")
}

func startBroker(t *testing.T, dir string) *Kafka {
	t.Helper()
	k, err := StartKafka(t.Context(), KafkaOptions{DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestKafkaContinuesAfterStop(t *testing.T) {
	dir := t.TempDir()
	k := startBroker(t, dir)
	if err := ensureTopic(t, k); err != nil {
		t.Fatal(err)
	}
	id := topicID(t, k.Brokers(), "orders")
	produce(t, k.Brokers(), "orders", 0, 20)
	admin := brokerClient(t, k.Brokers())
	var committed kadm.Offsets
	committed.Add(kadm.Offset{Topic: "orders", Partition: 0, At: 12, LeaderEpoch: -1})
	if _, err := kadm.NewClient(admin).CommitOffsets(t.Context(), "readers", committed); err != nil {
		t.Fatal(err)
	}
	admin.Close()
	k.Stop()

	k = startBroker(t, dir)
	defer k.Stop()
	if err := ensureTopic(t, k); err != nil {
		t.Fatal(err)
	}
	if again := topicID(t, k.Brokers(), "orders"); again != id {
		t.Fatalf("the topic's id was %x and is %x", id, again)
	}
	produce(t, k.Brokers(), "orders", 20, 30)
	wantRecords(t, k.Brokers(), "orders", 30)
	admin = brokerClient(t, k.Brokers())
	defer admin.Close()
	offsets, err := kadm.NewClient(admin).FetchOffsets(t.Context(), "readers")
	if err != nil {
		t.Fatal(err)
	}
	if at, ok := offsets.Lookup("orders", 0); !ok || at.At != 12 {
		t.Fatalf("the group's offset is %+v, want 12", at)
	}
}

// brokerDir makes TestBrokerProcess be a broker on this folder until it is killed.
const brokerDir = "TEST_DEVSTACK_BROKER_DIR"

func TestBrokerProcess(t *testing.T) {
	dir := os.Getenv(brokerDir)
	if dir == "" {
		t.Skip("runs as a child of TestKafkaContinuesAfterSIGKILL")
	}
	k := startBroker(t, dir)
	if err := ensureTopic(t, k); err != nil {
		t.Fatal(err)
	}
	produce(t, k.Brokers(), "orders", 0, 50)
	fmt.Printf("produced %x\n", topicID(t, k.Brokers(), "orders"))
	select {}
}

func TestKafkaContinuesAfterSIGKILL(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestBrokerProcess$", "-test.timeout=60s")
	child.Env = append(os.Environ(), brokerDir+"="+dir)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var id string
	if _, err := fmt.Fscanf(out, "produced %s\n", &id); err != nil {
		t.Fatal(err)
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // says that it was killed

	k := startBroker(t, dir)
	defer k.Stop()
	if again := fmt.Sprintf("%x", topicID(t, k.Brokers(), "orders")); again != id {
		t.Fatalf("the topic's id was %s and is %s", id, again)
	}
	produce(t, k.Brokers(), "orders", 50, 60)
	wantRecords(t, k.Brokers(), "orders", 60)
}

func TestKafkaListensOnLoopbackAndAvoidsATakenPort(t *testing.T) {
	first := startBroker(t, "")
	defer first.Stop()
	var port int
	if _, err := fmt.Sscanf(first.Brokers()[0], "127.0.0.1:%d", &port); err != nil {
		t.Fatalf("listens on %v, want 127.0.0.1", first.Brokers())
	}
	second, err := StartKafka(t.Context(), KafkaOptions{Port: port})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Stop()
	if second.Brokers()[0] == first.Brokers()[0] || !strings.HasPrefix(second.Brokers()[0], "127.0.0.1:") {
		t.Fatalf("both listen on %v", second.Brokers())
	}
}
