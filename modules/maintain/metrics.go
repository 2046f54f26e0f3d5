package maintain

import (
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// The tasks, as labels.
const (
	taskMonths    = "months"
	taskPending   = "pending_lists"
	taskSummarise = "summaries"
	taskAnalyse   = "statistics"
	taskLetters   = "dead_letter_keys"
	taskByCause   = "causation_indexes"
)

// Outcomes of a task, as labels.
const (
	outcomeDone    = "done"
	outcomeSkipped = "skipped" // somebody else held the lock
	outcomeFailed  = "failed"
)

type metrics struct {
	runs    *prometheus.CounterVec
	seconds *prometheus.CounterVec
	pages   prometheus.Counter
	leader  prometheus.Gauge
	ahead   prometheus.Gauge
}

func newMetrics(registry prometheus.Registerer) (metrics, error) {
	m := metrics{
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_maintain_runs_total", Help: "Upkeep of partitions and indexes, by task and outcome.",
		}, []string{"task", "outcome"}),
		seconds: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_maintain_seconds_total", Help: "Time spent on upkeep, by task.",
		}, []string{"task"}),
		pages: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "audittrail_maintain_pending_pages_total", Help: "Pages of GIN pending lists that were moved into their trees.",
		}),
		leader: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_maintain_leader", Help: "1 in the one process that does the upkeep.",
		}),
		ahead: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "audittrail_maintain_months_ahead", Help: "Months after the present one, without a gap, that have a partition of events; 0 in processes that do not do the upkeep: take the maximum over processes.",
		}),
	}
	for _, task := range []string{taskMonths, taskPending, taskSummarise, taskAnalyse, taskLetters, taskByCause} {
		m.seconds.WithLabelValues(task)
		for _, outcome := range []string{outcomeDone, outcomeSkipped, outcomeFailed} {
			m.runs.WithLabelValues(task, outcome)
		}
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.runs, m.seconds, m.pages, m.leader, m.ahead} {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("maintain: %w", err)
		}
	}
	return m, nil
}

// measure runs a task and counts its outcome. A task that was skipped is no failure.
func (m metrics) measure(task string, run func() error) error {
	began := time.Now()
	err := run()
	m.seconds.WithLabelValues(task).Add(time.Since(began).Seconds())
	switch {
	case err == nil:
		m.runs.WithLabelValues(task, outcomeDone).Inc()
	case errors.Is(err, errLocked):
		m.runs.WithLabelValues(task, outcomeSkipped).Inc()
		return nil
	default:
		m.runs.WithLabelValues(task, outcomeFailed).Inc()
	}
	return err
}
