package ingest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

const (
	// deadLetterHeader begins the names of the headers that a dead letter gains.
	deadLetterHeader = "audittrail-dead-letter-"
	// letterSlack is what headers may add to a record on its way to a dead-letter topic.
	letterSlack = 64 << 10
	// maxLetterBytes is the largest record that is sent: the longest value that is read, and headers.
	maxLetterBytes = event.RecordBytesLimit + 1<<20
)

// publish sends the letters and answers the ids of those that Kafka has acknowledged.
func (p *publisher) publish(ctx context.Context, letters []store.DeadLetter) []int64 {
	errs := make([]error, len(letters))
	for i := range letters {
		letter := &letters[i]
		if errs[i] = p.ensure(ctx, letter.Raw.Topic); errs[i] == nil {
			p.client.Produce(ctx, p.record(letter), func(_ *kgo.Record, err error) { errs[i] = err })
		}
	}
	if err := p.client.Flush(ctx); err != nil {
		return nil // ctx ended: nothing is known of what is still on its way
	}
	acked := make([]int64, 0, len(letters))
	for i := range letters {
		if errors.Is(errs[i], kerr.MessageTooLarge) {
			// Letters travel in batches: it may be the company that is too large.
			errs[i] = p.client.ProduceSync(ctx, p.record(&letters[i])).FirstErr()
		}
		if errs[i] == nil {
			acked = append(acked, letters[i].ID)
			continue
		}
		topic := letters[i].Raw.Topic
		if errors.Is(errs[i], kerr.MessageTooLarge) {
			p.refused[topic] = fmt.Errorf("dead letter %d: %w", letters[i].ID, errs[i]) // the others may go
			continue
		}
		delete(p.exists, topic) // it may have been deleted
		p.rest(topic, errs[i])
	}
	p.metrics.published.WithLabelValues("acknowledged").Add(float64(len(acked)))
	p.metrics.published.WithLabelValues("failed").Add(float64(len(letters) - len(acked)))
	return acked
}

// record is the dead letter as its topic gets it: the record as it was, and why it is there.
func (p *publisher) record(d *store.DeadLetter) *kgo.Record {
	headers := make([]kgo.RecordHeader, 0, len(d.Raw.Headers)+6)
	for _, h := range d.Raw.Headers {
		if !strings.HasPrefix(h.Key, deadLetterHeader) { // of an earlier life of the record
			headers = append(headers, kgo.RecordHeader{Key: h.Key, Value: h.Value})
		}
	}
	add := func(name, value string) {
		headers = append(headers, kgo.RecordHeader{Key: deadLetterHeader + name, Value: []byte(value)})
	}
	add("id", strconv.FormatInt(d.ID, 10))
	add("reason", string(d.Reason))
	add("detail", d.Detail)
	add("topic", d.Raw.Topic)
	add("partition", strconv.Itoa(int(d.Raw.Partition)))
	add("offset", strconv.FormatInt(d.Raw.Offset, 10))
	return &kgo.Record{Topic: d.Raw.Topic + p.suffix, Key: d.Raw.Key, Value: d.Raw.Value, Headers: headers}
}

// ensure answers nil once a topic's dead-letter topic is there, after making it if it may.
func (p *publisher) ensure(ctx context.Context, topic string) error {
	if p.exists[topic] {
		return nil
	}
	if _, resting := p.resting[topic]; resting {
		return errors.New("its topic could not be made a moment ago")
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	name := topic + p.suffix
	topics, err := kafka.Topics(ctx, p.client, []string{name, topic})
	if err == nil {
		err = topics[name].Err
	}
	if errors.Is(err, kerr.UnknownTopicOrPartition) {
		if !p.create {
			err = fmt.Errorf("topic %s does not exist, and ingest.dlq_create is false", name)
		} else if err = p.createTopic(ctx, name, max(1, topics[topic].Partitions), p.maxMessageBytes(ctx, topic)); err == nil {
			p.log.Info("created dead-letter topic", "topic", name)
		}
	}
	if err != nil {
		p.rest(topic, err)
		return err
	}
	p.exists[topic] = true
	return nil
}

// createTopic makes a dead-letter topic that takes whatever its source takes, with the cluster's own
// replication factor.
func (p *publisher) createTopic(ctx context.Context, name string, partitions int, maxBytes int64) error {
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic = name
	t.NumPartitions = int32(partitions)
	t.ReplicationFactor = -1
	if maxBytes > 0 {
		c := kmsg.NewCreateTopicsRequestTopicConfig()
		c.Name = "max.message.bytes"
		c.Value = kmsg.StringPtr(strconv.FormatInt(maxBytes+letterSlack, 10))
		t.Configs = append(t.Configs, c)
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics = append(req.Topics, t)
	req.TimeoutMillis = int32(askTimeout.Milliseconds())
	resp, err := req.RequestWith(ctx, p.client)
	if err != nil {
		return fmt.Errorf("create topic %s: %w", name, err)
	}
	for _, t := range resp.Topics {
		err := kerr.ErrorForCode(t.ErrorCode)
		if err != nil && !errors.Is(err, kerr.TopicAlreadyExists) {
			return fmt.Errorf("create topic %s: %w", name, err)
		}
	}
	return nil
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
