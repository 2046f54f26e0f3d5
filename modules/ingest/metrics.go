package ingest

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/kafka"
)

// What became of an offset: values of the label outcome.
const (
	outcomeStored       = "stored"
	outcomeDuplicate    = "duplicate"
	outcomeDeadLettered = "dead_lettered"
	outcomeAbsent       = "absent"
)

type metrics struct {
	records      *prometheus.CounterVec // by topic and outcome
	lag          *prometheus.GaugeVec   // by topic and partition
	stopped      *prometheus.GaugeVec   // by topic
	missing      *prometheus.GaugeVec   // by topic
	appends      prometheus.Histogram
	batchEvents  prometheus.Histogram
	conflicts    prometheus.Counter
	pending      *prometheus.GaugeVec // by reason
	oldest       prometheus.Gauge
	inFlight     prometheus.Gauge
	appendErrors prometheus.Counter
	published    *prometheus.CounterVec // by outcome
	strangers    prometheus.Gauge
	delays       *delays
}

// newMetrics registers the metrics. Named topics have their series from the start; those that a pattern
// finds get them when their first partition is assigned.
func newMetrics(reg prometheus.Registerer, topics []string, now func() time.Time) *metrics {
	m := &metrics{
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "audittrail_ingest_records_total",
			Help: "Kafka offsets that were accounted for, by what became of them."}, []string{"topic", "outcome"}),
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "audittrail_ingest_lag_records",
			Help: "Offsets of a partition that are not accounted for yet, whichever process reads it: take the maximum over processes."}, []string{"topic", "partition"}),
		stopped: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "audittrail_ingest_stopped_partitions",
			Help: "Partitions that this process holds and does not read until an operator acts."}, []string{"topic"}),
		missing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "audittrail_ingest_missing_topics",
			Help: "1 for a topic of kafka.topics that the cluster does not know."}, []string{"topic"}),
		appends: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "audittrail_ingest_append_seconds",
			Help: "Time of an append that succeeded.", Buckets: prometheus.ExponentialBuckets(0.002, 2, 14)}),
		batchEvents: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "audittrail_ingest_batch_events",
			Help: "Events of an append.", Buckets: prometheus.ExponentialBuckets(1, 4, 8)}),
		conflicts: prometheus.NewCounter(prometheus.CounterOpts{Name: "audittrail_event_id_conflicts_total",
			Help: "Records whose event id is taken by an event with other content."}),
		pending: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "audittrail_dead_letters_pending",
			Help: "Dead letters that nobody has redriven or dismissed, by reason. One process tells, and the others say 0: take the maximum over processes."}, []string{"reason"}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_dead_letters_oldest_pending_seconds",
			Help: "Age of the oldest pending dead letter; 0 without any, and in processes that do not count."}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_ingest_in_flight_bytes",
			Help: "Estimated memory of records between fetch and commit."}),
		appendErrors: prometheus.NewCounter(prometheus.CounterOpts{Name: "audittrail_ingest_append_errors_total",
			Help: "Tries of an append that failed; each is tried again."}),
		published: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "audittrail_dead_letters_published_total",
			Help: "Tries to publish a dead letter to its topic."}, []string{"outcome"}),
		strangers: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_ingest_group_strangers",
			Help: "1 while the consumer group has a member of another installation: nothing is ingested then. More than zero is an alarm."}),
		delays: newDelays(now, topics),
	}
	if reg != nil {
		reg.MustRegister(m.records, m.lag, m.stopped, m.missing, m.appends, m.batchEvents, m.conflicts, m.pending, m.oldest, m.inFlight, m.appendErrors, m.published,
			m.strangers, m.delays)
	}
	for _, topic := range topics {
		m.seeTopic(topic)
		m.missing.WithLabelValues(topic)
	}
	m.setPending(store.PendingLetters{}, time.Time{})
	m.published.WithLabelValues("acknowledged")
	m.published.WithLabelValues("failed")
	return m
}

// setPending tells of the pending dead letters. The reasons are those of events, and so few.
func (m *metrics) setPending(p store.PendingLetters, now time.Time) {
	m.pending.Reset()
	for _, reason := range event.Reasons() {
		m.pending.WithLabelValues(string(reason))
	}
	for reason, n := range p.Reasons {
		m.pending.WithLabelValues(reason).Set(float64(n))
	}
	m.oldest.Set(0)
	if !p.Oldest.IsZero() {
		m.oldest.Set(max(0, now.Sub(p.Oldest).Seconds()))
	}
}

func (m *metrics) seeTopic(topic string) {
	for _, outcome := range []string{outcomeStored, outcomeDuplicate, outcomeDeadLettered, outcomeAbsent} {
		m.records.WithLabelValues(topic, outcome)
	}
	m.stopped.WithLabelValues(topic)
}

// nothingStopped is for a session that begins.
func (m *metrics) nothingStopped(topics []string) {
	m.stopped.Reset()
	for _, topic := range topics {
		m.stopped.WithLabelValues(topic)
	}
}

// setLag notes where a partition's log ends, and the offset below which everything is accounted for.
func (m *metrics) setLag(at kafka.TopicPartition, end, next int64) {
	m.lag.WithLabelValues(at.Topic, strconv.Itoa(int(at.Partition))).Set(float64(max(0, end-next)))
	m.delays.see(at, end, next)
}

func (m *metrics) dropLag(at kafka.TopicPartition) {
	m.lag.DeleteLabelValues(at.Topic, strconv.Itoa(int(at.Partition)))
	m.delays.forget(at)
}

// count counts what a batch's offsets became.
func (m *metrics) count(r store.Receipt) {
	m.conflicts.Add(float64(r.Conflicts))
	for _, o := range r.Outcomes {
		m.add(o.Topic, outcomeStored, int64(o.Stored))
		m.add(o.Topic, outcomeDuplicate, int64(o.Duplicates))
		m.add(o.Topic, outcomeDeadLettered, int64(o.DeadLettered))
		m.add(o.Topic, outcomeAbsent, o.Absent)
	}
}

func (m *metrics) add(topic, outcome string, n int64) {
	m.records.WithLabelValues(topic, outcome).Add(float64(n))
}
