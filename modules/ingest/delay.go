package ingest

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/kafka"
)

// delays knows for how long records have waited to be stored. It goes by when the end of a log was first seen there,
// not by the records' timestamps, which are the producers' and may be years old in records that were copied. So it does
// not know how long what was there at the start had waited before.
type delays struct {
	desc *prometheus.Desc
	now  func() time.Time

	mu      sync.Mutex
	waiting map[kafka.TopicPartition][]sighting
	topics  map[string]bool // that have a series
}

// sighting is the end of a log and when it was first seen there. Ends and times of a partition's sightings ascend.
type sighting struct {
	end int64
	at  time.Time
}

// maxSightings bounds what is remembered of one partition: an hour at the pace of watchEvery.
const maxSightings = 720

func newDelays(now func() time.Time, topics []string) *delays {
	d := &delays{
		now: now, waiting: map[kafka.TopicPartition][]sighting{}, topics: map[string]bool{},
		desc: prometheus.NewDesc("audittrail_ingest_delay_seconds",
			"How long the oldest record of a topic that is not accounted for has been seen waiting, whichever process reads it: take the maximum over processes. It grows while Kafka or PostgreSQL are away.", []string{"topic"}, nil),
	}
	for _, topic := range topics {
		d.topics[topic] = true
	}
	return d
}

// see notes where a partition's log ends, and the offset below which everything is accounted for.
func (d *delays) see(at kafka.TopicPartition, end, next int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.topics[at.Topic] = true
	list := d.waiting[at]
	for len(list) > 0 && list[0].end <= next {
		list = list[1:]
	}
	last := len(list) - 1
	switch {
	case end <= next:
		list = nil // also where the log was cut
	case last < 0 || end > list[last].end && len(list) < maxSightings:
		list = append(list, sighting{end, d.now()})
	case end > list[last].end:
		list[last].end = end // counts as older than it is
	}
	if len(list) == 0 {
		delete(d.waiting, at)
		return
	}
	d.waiting[at] = list
}

// forget is for a partition that is not ingested any more.
func (d *delays) forget(at kafka.TopicPartition) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, at)
}

// Describe implements prometheus.Collector.
func (d *delays) Describe(out chan<- *prometheus.Desc) { out <- d.desc }

// Collect implements prometheus.Collector.
func (d *delays) Collect(out chan<- prometheus.Metric) {
	d.mu.Lock()
	defer d.mu.Unlock()
	oldest := make(map[string]time.Duration, len(d.topics))
	for topic := range d.topics {
		oldest[topic] = 0
	}
	for at, list := range d.waiting {
		oldest[at.Topic] = max(oldest[at.Topic], d.now().Sub(list[0].at))
	}
	for topic, age := range oldest {
		out <- prometheus.MustNewConstMetric(d.desc, prometheus.GaugeValue, age.Seconds(), topic)
	}
}
