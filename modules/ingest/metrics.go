package ingest

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/store"
)

// What became of an offset: values of the label outcome.
const (
	outcomeStored       = "stored"
	outcomeDuplicate    = "duplicate"
	outcomeDeadLettered = "dead_lettered"
	outcomeAbsent       = "absent"
)

// severalTopics is the label of records of a batch over several topics of which the store tells only
// sums: who of them was a duplicate can't be told.
const severalTopics = "*"

type metrics struct {
	records      *prometheus.CounterVec // by topic and outcome
	lag          *prometheus.GaugeVec   // by topic and partition
	appends      prometheus.Histogram
	batchEvents  prometheus.Histogram
	conflicts    prometheus.Counter
	pending      prometheus.Gauge
	inFlight     prometheus.Gauge
	appendErrors prometheus.Counter
	published    *prometheus.CounterVec // by outcome
}

// newMetrics registers the metrics. Named topics have their series from the start; those that a pattern
// finds get them when their first partition is assigned.
func newMetrics(reg prometheus.Registerer, topics []string) *metrics {
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "audittrail_ingest_records_total",
			Help: "Kafka offsets that were accounted for, by what became of them."}, []string{"topic", "outcome"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "audittrail_ingest_lag_records",
			Help: "Offsets of an assigned partition that are not accounted for yet."}, []string{"topic", "partition"}),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "audittrail_ingest_append_seconds",
			Help: "Time of an append that succeeded.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 14)}),
		batchEvents: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "audittrail_ingest_batch_events",
			Help: "Events of an append.", Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: "audittrail_event_id_conflicts_total",
			Help: "Records whose event id is taken by an event with other content."}),
		pending: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_dead_letters_pending",
			Help: "Dead letters that nobody has redriven or dismissed."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_ingest_in_flight_bytes",
			Help: "Estimated memory of records between fetch and commit."}),
		appendErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "audittrail_ingest_append_errors_total",
			Help: "Tries of an append that failed; each is tried again."}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "audittrail_dead_letters_published_total",
			Help: "Tries to publish a dead letter to its topic."}, []string{"outcome"}),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.lag, m.appends, m.batchEvents, m.conflicts, m.pending, m.inFlight, m.appendErrors, m.published)
	}
	for _, topic := range topics {
		m.seeTopic(topic)
	}
	m.published.WithLabelValues("acknowledged")
	m.published.WithLabelValues("failed")
	return m
}

func (m *metrics) seeTopic(topic string) {
	for _, outcome := range []string{outcomeStored, outcomeDuplicate, outcomeDeadLettered, outcomeAbsent} {
		m.records.WithLabelValues(topic, outcome)
	}
}

func (m *metrics) setLag(l *lease, end int64) {
	m.lag.WithLabelValues(l.id.Topic, strconv.Itoa(int(l.id.Number))).Set(float64(max(0, end-l.acked.Load())))
}

func (m *metrics) dropLag(topic string, partition int32) {
	m.lag.DeleteLabelValues(topic, strconv.Itoa(int(partition)))
}

// tally is what was read of one topic in a batch.
type tally struct{ events, rejected, absent int64 }

// count counts what a batch's records became.
func (m *metrics) count(b store.Batch, r store.Receipt) {
	m.conflicts.Add(float64(r.Conflicts))
	lost := make(map[store.Partition]bool, len(r.Lost))
	for _, l := range r.Lost {
		lost[l.Partition] = true
	}
	already := make(map[store.Partition]bool, len(r.Already))
	for _, p := range r.Already {
		already[p] = true
	}
	read, before := tallies(b, lost, already)
	// The answer to the try that stored these is lost, and with it how many were duplicates.
	for topic, t := range before {
		m.add(topic, t.events, 0, t.rejected, t.absent)
	}
	var events, rejected int64
	for _, t := range read {
		events, rejected = events+t.events, rejected+t.rejected
	}
	certain := int64(r.Stored) == events // every event became a row: the sums are no riddle
	for topic, t := range read {
		switch {
		case certain:
			m.add(topic, t.events, 0, t.rejected, t.absent)
		case len(read) == 1:
			m.add(topic, int64(r.Stored), int64(r.Duplicates), int64(r.DeadLettered), t.absent)
		default:
			m.add(topic, 0, 0, 0, t.absent)
		}
	}
	if !certain && len(read) > 1 {
		m.add(severalTopics, int64(r.Stored), int64(r.Duplicates), int64(r.DeadLettered), 0)
	}
}

// tallies sums a batch up by topic: what this append read, and what an earlier try of it had stored.
func tallies(b store.Batch, lost, already map[store.Partition]bool) (read, before map[string]*tally) {
	read, before = map[string]*tally{}, map[string]*tally{}
	rejectedIn := make(map[store.Partition]int64, len(b.Ranges))
	for i := range b.Rejected {
		c := &b.Rejected[i].Raw.Coordinates
		rejectedIn[store.Partition{TopicID: c.TopicID, Topic: c.Topic, Number: c.Partition}]++
	}
	for _, r := range b.Ranges {
		if lost[r.Partition] {
			continue
		}
		into := read
		if already[r.Partition] {
			into = before
		}
		t := into[r.Topic]
		if t == nil {
			t = &tally{}
			into[r.Topic] = t
		}
		rejected := rejectedIn[r.Partition]
		t.absent += r.Absent
		t.rejected += rejected
		t.events += r.To - r.From - r.Absent - rejected
	}
	return read, before
}

func (m *metrics) add(topic string, stored, duplicates, deadLettered, absent int64) {
	m.records.WithLabelValues(topic, outcomeStored).Add(float64(stored))
	m.records.WithLabelValues(topic, outcomeDuplicate).Add(float64(duplicates))
	m.records.WithLabelValues(topic, outcomeDeadLettered).Add(float64(deadLettered))
	m.records.WithLabelValues(topic, outcomeAbsent).Add(float64(absent))
}
