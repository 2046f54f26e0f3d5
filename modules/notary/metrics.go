package notary

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/ledger"
)

// Outcomes of a round, as labels.
const (
	roundDone    = "done"
	roundRefused = "refused" // a log is not an extension of what was signed
	roundFailed  = "failed"
)

type metrics struct {
	size     *prometheus.GaugeVec
	signed   *prometheus.CounterVec
	refusals *prometheus.CounterVec
	patrols  *prometheus.CounterVec
	leader   prometheus.Gauge
	forgot   prometheus.Gauge
	rounds   *prometheus.HistogramVec

	now     func() time.Time
	covered map[ledger.Log]*atomic.Int64 // when a checkpoint last covered the whole log, in nanoseconds
}

func newMetrics(registry prometheus.Registerer, now func() time.Time) (metrics, error) {
	m := metrics{
		size: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "audittrail_ledger_size", Help: "Entries of the log when the notary last read its size.",
		}, []string{"log"}),
		signed: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_notary_checkpoints_total", Help: "Checkpoints that were signed and stored.",
		}, []string{"log"}),
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_notary_refusals_total", Help: "Rounds in which nothing was signed because the log is not an extension of what was signed before. More than zero is an alarm.",
		}, []string{"log", "reason"}),
		patrols: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_notary_patrols_total", Help: "How often the whole log was recomputed from its leaves without a finding.",
		}, []string{"log"}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_notary_leader", Help: "1 in the process that signs.",
		}),
		forgot: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_notary_began_without_memory", Help: "1 if this process found checkpoints in the database but none in its state file, so that it could not tell whether the database was rolled back.",
		}),
		rounds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "audittrail_notary_round_seconds", Help: "Time of a round of the process that signs, by outcome: it examines all logs, and signs those that have grown.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"outcome"}),
		now: now, covered: make(map[ledger.Log]*atomic.Int64),
	}
	collectors := []prometheus.Collector{m.size, m.signed, m.refusals, m.patrols, m.leader, m.forgot, m.rounds}
	for _, outcome := range []string{roundDone, roundRefused, roundFailed} {
		m.rounds.WithLabelValues(outcome)
	}
	for _, log := range ledger.Logs() {
		m.size.WithLabelValues(string(log))
		m.signed.WithLabelValues(string(log))
		m.patrols.WithLabelValues(string(log))
		for _, why := range reasons() {
			m.refusals.WithLabelValues(string(log), string(why))
		}
		m.covered[log] = new(atomic.Int64)
		m.cover(log, now())
		collectors = append(collectors, m.age(log))
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range collectors {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("notary: %w", err)
		}
	}
	return m, nil
}

// round counts a round of the process that signs.
func (m metrics) round(took time.Duration, err error) {
	outcome := roundDone
	switch {
	case refused(err):
		outcome = roundRefused
	case err != nil:
		outcome = roundFailed
	}
	m.rounds.WithLabelValues(outcome).Observe(took.Seconds())
}

// age returns a metric that grows only while entries wait for a signature.
func (m metrics) age(log ledger.Log) prometheus.Collector {
	covered := m.covered[log]
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "audittrail_checkpoint_age_seconds", ConstLabels: prometheus.Labels{"log": string(log)},
		Help: "Time since the newest checkpoint was last seen to cover the whole log.",
	}, func() float64 { return max(0, m.now().Sub(time.Unix(0, covered.Load())).Seconds()) })
}

// cover notes that the newest checkpoint covered the whole log at a time. A time in the future, from a wrong clock,
// counts as now: otherwise the age would stay 0 until then.
func (m metrics) cover(log ledger.Log, at time.Time) {
	if now := m.now(); at.After(now) {
		at = now
	}
	if last := m.covered[log]; at.After(time.Unix(0, last.Load())) {
		last.Store(at.UnixNano())
	}
}
