package kafka

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// CreateTopic makes a topic with the cluster's own replication factor, and returns its id: zeros from a broker
// that does not tell. config are settings of the topic; it may be nil. A topic that is there already is
// kerr.TopicAlreadyExists. Its leaders may not serve yet when CreateTopic returns.
func CreateTopic(ctx context.Context, client *kgo.Client, name string, partitions int32, config map[string]string) (id [16]byte, err error) {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic = name
	t.NumPartitions = partitions
	t.ReplicationFactor = -1
	for _, key := range slices.Sorted(maps.Keys(config)) {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name, c.Value = key, kmsg.StringPtr(config[key])
		t.Configs = append(t.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, t)
	resp, err := req.RequestWith(ctx, client)
	if err != nil {
		return id, fmt.Errorf("create topic %s: %w", name, err)
	}
	for _, t := range resp.Topics {
		if err := kerr.ErrorForCode(t.ErrorCode); err != nil {
			return id, fmt.Errorf("create topic %s: %w", name, err)
		}
		id = t.TopicID
	}
	return id, nil
}

// EnsureTopics makes those of the topics that do not exist, with this many partitions each and the cluster's default
// replication.
func EnsureTopics(ctx context.Context, client *kgo.Client, partitions int32, topics ...string) error {
	for _, topic := range topics {
		if _, err := CreateTopic(ctx, client, topic, partitions, nil); err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return err
		}
	}
	return nil
}
