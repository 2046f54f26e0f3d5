package reconcile

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// What the accounting is compared with, as a label.
const (
	sideTables = "tables"
	sideKafka  = "kafka"
)

// How a check went, as a label.
const (
	outcomeDone   = "done"
	outcomeFailed = "failed"
)

type metrics struct {
	discrepancies *prometheus.GaugeVec
	runs          *prometheus.CounterVec
	unread        prometheus.Gauge
	oldest        prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	const oneTells = " One process tells, and the others say 0: take the maximum over processes."
	m := metrics{
		discrepancies: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "audittrail_reconcile_discrepancies",
			Help: "Contradictions that the last check of the accounting found, such as gaps: between tables, or with Kafka." + oneTells}, []string{"against"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "audittrail_reconcile_runs_total",
			Help: "Checks of the accounting, against the tables or Kafka; one that could not ask everybody has failed."}, []string{"against", "outcome"}),
		unread: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_reconcile_unread_records",
			Help: "Offsets that Kafka has and that are still to be read, of all partitions, at the last check." + oneTells}),
		oldest: prometheus.NewGauge(prometheus.GaugeOpts{Name: "audittrail_reconcile_oldest_unread_seconds",
			Help: "Age of the oldest record that is still to be read, by its own timestamp, at the last check; 0 without any." + oneTells}),
	}
	m.reset()
	for _, side := range []string{sideTables, sideKafka} {
		for _, outcome := range []string{outcomeDone, outcomeFailed} {
			m.runs.WithLabelValues(side, outcome)
		}
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.discrepancies, m.runs, m.unread, m.oldest} {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("reconcile: %w", err)
		}
	}
	return m, nil
}

// reset says 0, for a process that does not check.
func (m metrics) reset() {
	for _, side := range []string{sideTables, sideKafka} {
		m.discrepancies.WithLabelValues(side).Set(0)
	}
	m.unread.Set(0)
	m.oldest.Set(0)
}
