package kafkatest

import (
	"context"
	"crypto/rand"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

// Client gives a client of the plain listener that is closed with the test. Its metadata may be
// renewed often, so that it sees a new topic's leader at once instead of after 5 seconds.
func (k *Kafka) Client(opts ...kgo.Opt) *kgo.Client {
	k.t.Helper()
	opts = append([]kgo.Opt{kgo.SeedBrokers(k.Brokers...), kgo.MetadataMinAge(100 * time.Millisecond)}, opts...)
	client, err := kgo.NewClient(opts...)
	if err != nil {
		k.t.Fatalf("kafka client: %v", err)
	}
	k.t.Cleanup(client.Close)
	return client
}

// Topic makes a topic and waits until each of its partitions answers. The name is prefix with random
// letters, so that tests can share a broker.
func (k *Kafka) Topic(prefix string, partitions int32) string {
	k.t.Helper()
	name := prefix + "-" + strings.ToLower(rand.Text()[:8])
	k.CreateTopic(name, partitions, nil)
	return name
}

// CreateTopic makes the topic of that very name, with Kafka's topic settings in config (may be nil),
// and waits until each of its partitions answers.
func (k *Kafka) CreateTopic(name string, partitions int32, config map[string]*string) {
	k.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	admin := kadm.NewClient(k.Client())
	if _, err := admin.CreateTopic(ctx, partitions, 1, config, name); err != nil {
		k.t.Fatalf("create topic %s: %v", name, err)
	}
	// CreateTopic answers before the leaders serve.
	again := time.NewTicker(20 * time.Millisecond)
	defer again.Stop()
	for {
		offsets, err := admin.ListEndOffsets(ctx, name)
		if err == nil && offsets.Error() == nil && len(offsets[name]) == int(partitions) {
			return
		}
		select {
		case <-ctx.Done():
			k.t.Fatalf("topic %s does not answer: %v, %v", name, err, offsets.Error())
		case <-again.C:
		}
	}
}
