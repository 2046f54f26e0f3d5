package ingest

import (
	"audittrail/platform/kafka"
)

// stopTopic stops all partitions of a topic until an operator acts, and says so.
func (p *poller) stopTopic(topic, why string) {
	at := kafka.TopicPartition{Topic: topic, Partition: wholeTopic}
	if !p.status.stop(at, why) {
		return
	}
	p.countStopped(topic)
	p.log.Error("topic is stopped; the others go on", "topic", topic, "reason", why)
	p.consumer.PauseFetchTopics(topic)
	for _, l := range p.leases.all() {
		if l.id.Topic == topic {
			p.leases.suspend(l)
		}
	}
}

// stopPartition stops one partition until an operator acts, and says so.
func (p *poller) stopPartition(at kafka.TopicPartition, why string) {
	if !p.status.stop(at, why) {
		return
	}
	p.countStopped(at.Topic)
	p.log.Error("partition is stopped; the others go on", "topic", at.Topic, "partition", at.Partition, "reason", why)
	p.consumer.PauseFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
	if l := p.leases.of(at); l != nil {
		p.leases.suspend(l)
	}
}

// restart forgets why a partition, or a whole topic, was stopped.
func (p *pipeline) restart(at kafka.TopicPartition) {
	p.status.restart(at)
	p.countStopped(at.Topic)
}

// countStopped keeps the metric of a topic's stopped partitions.
func (p *pipeline) countStopped(topic string) {
	assigned := p.leases.numbers(topic)
	n := 0
	for _, number := range assigned {
		if p.status.isStopped(kafka.TopicPartition{Topic: topic, Partition: number}) {
			n++
		}
	}
	p.metrics.stopped.WithLabelValues(topic).Set(float64(n))
}
