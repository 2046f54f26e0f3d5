package replay

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	events  *prometheus.CounterVec
	seconds *prometheus.HistogramVec
	running prometheus.Gauge
}

// What became of an event, as a label.
const (
	outcomeSent    = "sent"
	outcomeFailed  = "failed"
	outcomeWaiting = "waiting"
)

func newMetrics(reg prometheus.Registerer) (metrics, error) {
	m := metrics{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_replay_events_total",
			Help: "Events of replays, by the type of target and what became of them: sent, failed, or waiting for a failed one of their aggregate.",
		}, []string{"target", "outcome"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "audittrail_replay_send_seconds", Help: "Time of sending some events of a replay together, by the type of target, failures included.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 8),
		}, []string{"target"}),
		running: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_replay_jobs_running", Help: "Replays that this process works at.",
		}),
	}
	for _, kind := range targetTypes() {
		m.seconds.WithLabelValues(kind)
		for _, outcome := range []string{outcomeSent, outcomeFailed, outcomeWaiting} {
			m.events.WithLabelValues(kind, outcome)
		}
	}
	if reg == nil {
		return m, nil
	}
	return m, errors.Join(reg.Register(m.events), reg.Register(m.seconds), reg.Register(m.running))
}
