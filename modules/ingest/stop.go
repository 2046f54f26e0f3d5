package ingest

import (
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/kafka"
)

// stopTopic stops all partitions of a topic until an operator acts, and says so.
func (p *poller) stopTopic(topic, why string) {
	at := kafka.TopicPartition{Topic: topic, Partition: wholeTopic}
	if !p.status.stop(at, why) {
		return
	}
	p.stops.tally(topic)
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
	p.stops.tally(at.Topic)
	p.log.Error("partition is stopped; the others go on", "topic", at.Topic, "partition", at.Partition, "reason", why)
	p.consumer.PauseFetchPartitions(map[string][]int32{at.Topic: {at.Partition}})
	if l := p.leases.of(at); l != nil {
		p.leases.suspend(l)
	}
}

// stops knows which partitions are stopped, and has the poller stop others.
type stops struct {
	status *status
	leases *leases
	inbox  *inbox
	count  *prometheus.GaugeVec // by topic
}

// restart forgets why a partition, or a whole topic, was stopped.
func (s *stops) restart(at kafka.TopicPartition) {
	s.status.restart(at)
	s.tally(at.Topic)
}

// tally keeps the metric of a topic's stopped partitions.
func (s *stops) tally(topic string) {
	n := 0
	for _, number := range s.leases.numbers(topic) {
		if s.status.isStopped(kafka.TopicPartition{Topic: topic, Partition: number}) {
			n++
		}
	}
	s.count.WithLabelValues(topic).Set(float64(n))
}

// sawCut has a partition stopped whose log was cut, and that remembered. Nothing of it is appended from now on.
func (s *stops) sawCut(l *lease, end int64) {
	s.leases.suspend(l)
	s.inbox.put(cutSeen{lease: l, end: end})
}
