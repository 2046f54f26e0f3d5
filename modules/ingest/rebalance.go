package ingest

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/platform/kafka"
)

type (
	commitRequest  = kmsg.OffsetCommitRequest
	commitResponse = kmsg.OffsetCommitResponse
)

// assigned notes that the group has taken this member in, be it with new partitions or without.
func (p *pipeline) assigned(context.Context, *kgo.Client, map[string][]int32) {
	p.status.has(troubleGroup, nil)
	p.strangers.lookSoon() // somebody may have joined
}

// revoked drains partitions that go to another member: what is not in an append yet is dropped, since
// the next owner reads it again; an append in flight may finish. Should it take too long, the fence
// decides who was first.
func (p *pipeline) revoked(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	flights := p.endLeases(partitions)
	timeout := time.NewTimer(p.options.DrainTimeout)
	defer timeout.Stop()
	for _, f := range flights {
		select {
		case <-f.landed:
		case <-timeout.C:
			p.log.Warn("partitions are given up while an append of them is still in flight", "waited", p.options.DrainTimeout)
			return
		}
	}
}

// lost abandons partitions that are somebody else's already.
func (p *pipeline) lost(_ context.Context, _ *kgo.Client, partitions map[string][]int32) {
	p.endLeases(partitions)
}

func (p *pipeline) endLeases(partitions map[string][]int32) []*flight {
	var of []kafka.TopicPartition
	for topic, numbers := range partitions {
		for _, number := range numbers {
			of = append(of, kafka.TopicPartition{Topic: topic, Partition: number})
			p.status.restart(kafka.TopicPartition{Topic: topic, Partition: number})
		}
	}
	if len(of) > 0 {
		p.log.Info("giving partitions up", "partitions", partitions)
	}
	flights := p.leases.end(of)
	// Whoever holds a topic tells why it is stopped.
	topics := p.leases.topics()
	p.status.restartTopics(func(topic string) bool { return !topics[topic] })
	for topic := range partitions {
		p.stops.tally(topic)
	}
	return flights
}
