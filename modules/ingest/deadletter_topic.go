package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/platform/kafka"
)

// ensure answers nil once a topic's dead-letter topic is there, after making it if it may.
func (p *publisher) ensure(ctx context.Context, topic string) error {
	if p.exists[topic] {
		return nil
	}
	if name := topic + p.suffix; len(name) > kafka.MaxTopicLength {
		err := fmt.Errorf("the name %s has %d characters, of which Kafka allows %d; a shorter ingest.dlq_suffix would help", name, len(name), kafka.MaxTopicLength)
		p.giveUp(topic, err)
		return err
	}
	if _, resting := p.resting[topic]; resting {
		return errors.New("its topic could not be made a moment ago")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	id, err := p.look(ctx, topic)
	if err != nil {
		p.rest(topic, err)
		return err
	}
	// The client holds on to the id that it knew first, and fails with UNKNOWN_TOPIC_ID for ever. It may
	// forget it only where the topic is another one indeed: it forgets its sequence numbers too, and the
	// same topic would take what follows for duplicates, acknowledge it and drop it.
	name := topic + p.suffix
	if before, ok := p.ids[topic]; ok && before != id {
		p.log.Warn("dead-letter topic was deleted and made again", "topic", name)
		p.client.PurgeTopicsFromClient(name)
	}
	p.exists[topic] = true
	if p.ids[topic] = id; id == ([16]byte{}) {
		delete(p.ids, topic) // a broker that does not tell what it has made
	}
	return nil
}

// look answers the id of a topic's dead-letter topic, which it makes if it is not there.
func (p *publisher) look(ctx context.Context, topic string) (id [16]byte, err error) {
	name := topic + p.suffix
	topics, err := kafka.Topics(ctx, p.client, []string{name, topic})
	if err != nil {
		return id, err
	}
	dead := topics[name]
	if !errors.Is(dead.Err, kerr.UnknownTopicOrPartition) {
		return dead.ID, dead.Err
	}
	if !p.create {
		return id, fmt.Errorf("topic %s does not exist, and ingest.dlq_create is false", name)
	}
	id, err = p.createTopic(ctx, name, max(1, topics[topic].Partitions), p.maxMessageBytes(ctx, topic))
	if err == nil {
		p.log.Info("created dead-letter topic", "topic", name)
	}
	return id, err
}

// createTopic makes a dead-letter topic that takes whatever its source takes, and returns its id. That
// somebody else has just made it is an error that passes.
func (p *publisher) createTopic(ctx context.Context, name string, partitions int, maxBytes int64) ([16]byte, error) {
	config := map[string]string{}
	if maxBytes > 0 {
		config["max.message.bytes"] = strconv.FormatInt(maxBytes+letterSlack, 10)
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	return kafka.CreateTopic(ctx, p.client, name, int32(partitions), config)
}

// maxMessageBytes is the largest record batch that a topic takes; 0 where it can't be found out, which
// leaves the dead-letter topic with the cluster's default.
func (p *publisher) maxMessageBytes(ctx context.Context, topic string) int64 {
	r := kmsg.NewDescribeConfigsRequestResource()
	r.ResourceType = kmsg.ConfigResourceTypeTopic
	r.ResourceName = topic
	r.ConfigNames = []string{"max.message.bytes"}
	req := kmsg.NewPtrDescribeConfigsRequest()
	req.Resources = append(req.Resources, r)
	resp, err := req.RequestWith(ctx, p.client)
	if err != nil {
		return 0
	}
	for _, r := range resp.Resources {
		for _, c := range r.Configs {
			if c.Name == "max.message.bytes" && c.Value != nil {
				n, _ := strconv.ParseInt(*c.Value, 10, 64)
				return max(0, n)
			}
		}
	}
	return 0
}
