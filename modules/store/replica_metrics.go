package store

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// replicaMetrics tell of replicas by their names, which are as many as the configuration names.
type replicaMetrics struct {
	lag, usable *prometheus.GaugeVec
	fallbacks   *prometheus.CounterVec
}

func newReplicaMetrics(registry prometheus.Registerer, replicas []Replica) (replicaMetrics, error) {
	label := []string{"replica"}
	m := replicaMetrics{
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "audittrail_replica_lag_seconds",
			Help: "How far the replica was behind the primary when it last answered.",
		}, label),
		usable: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "audittrail_replica_usable",
			Help: "1 while this process may read from the replica: it answers, follows the primary, and is not too far behind.",
		}, label),
		fallbacks: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "audittrail_replica_fallbacks_total",
			Help: "Requests that began at the replica and went on at the primary.",
		}, label),
	}
	for _, r := range replicas {
		m.lag.WithLabelValues(r.Name)
		m.usable.WithLabelValues(r.Name)
		m.fallbacks.WithLabelValues(r.Name)
	}
	if registry == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.lag, m.usable, m.fallbacks} {
		if err := registry.Register(c); err != nil {
			return m, fmt.Errorf("replicas: %w", err)
		}
	}
	return m, nil
}
