// Package telemetry makes the registry that every part of the program registers its metrics with.
//
// There is one registry a process, made here and passed on; nobody uses Prometheus' global one. Who
// owns a metric makes it when it is constructed, with all its labels that are known by then, so that
// every series is there from the start, at zero: an alert on a series that appears with the first
// failure misses that failure.
package telemetry

import (
	"runtime"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"audittrail/platform/telemetry/buildinfo"
)

// NewRegistry makes a registry that knows the process, the Go runtime and the build.
func NewRegistry(b buildinfo.Info) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "audittrail_build_info",
		Help: "Always 1; the labels tell the version, the commit and the Go release of this binary.",
	}, []string{"version", "revision", "goversion"})
	info.WithLabelValues(b.Version, b.Revision, runtime.Version()).Set(1)
	r.MustRegister(info)
	return r
}
