package analytics

import (
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events    prometheus.Counter
	failures  prometheus.Counter
	seconds   prometheus.Counter
	anomalies *prometheus.CounterVec
	skipped   *prometheus.CounterVec
	open      *prometheus.GaugeVec
	position  prometheus.Gauge
	leader    prometheus.Gauge
}

// The values of the label what of audittrail_anomalies_skipped_total: what may be too much to look at.
const skippedSeries, skippedActors, skippedWorkflows, skippedVersions = "series", "actors", "workflows", "versions"

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	m := metrics{
		events: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_analytics_events_total", Help: "Events that were added to the rollups.",
		}),
		failures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_analytics_failures_total", Help: "Rounds that failed, and were tried again.",
		}),
		seconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_analytics_seconds_total", Help: "Time spent on adding events to the rollups.",
		}),
		anomalies: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_anomalies_total", Help: "Anomalies that were found, by kind.",
		}, []string{"kind"}),
		skipped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_anomalies_skipped_total", Help: "What was not looked at for anomalies, since there was too much of it: series (types or sources), actors or workflows in an hour, and aggregates for their versions.",
		}, []string{"what"}),
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "audittrail_anomalies_open", Help: "Anomalies that nobody has acknowledged or resolved, by kind. The process that leads tells, and the others say 0: take the maximum over processes.",
		}, []string{"kind"}),
		position: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_analytics_position", Help: "The next position that the rollups will read, in the process that leads; compare audittrail_ledger_size.",
		}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_analytics_leader", Help: "1 in the one process that keeps the analytics.",
		}),
	}
	for _, kind := range kinds() {
		m.anomalies.WithLabelValues(kind)
	}
	for _, what := range []string{skippedSeries, skippedActors, skippedWorkflows, skippedVersions} {
		m.skipped.WithLabelValues(what)
	}
	m.tellOpen(nil)
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.events, m.failures, m.seconds, m.anomalies, m.skipped, m.open, m.position, m.leader} {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("analytics: %w", err)
		}
	}
	return m, nil
}

// counted notes that a batch was added to the rollups.
func (m metrics) counted(events int, took time.Duration) {
	m.events.Add(float64(events))
	m.seconds.Add(took.Seconds())
}

// tellOpen notes how many anomalies are open, by kind.
func (m metrics) tellOpen(open map[string]int64) {
	for _, kind := range kinds() {
		m.open.WithLabelValues(kind).Set(float64(open[kind]))
	}
}
