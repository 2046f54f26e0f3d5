package app

import (
	"crypto/x509"
	"encoding/pem"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// certificateExpiry tells when the configured certificates expire. It reads their files at each scrape, as whoever uses
// them reads them again.
type certificateExpiry struct {
	desc  *prometheus.Desc
	files map[string]string // by the configuration's section

	mu   sync.Mutex
	last map[string]time.Time // what could be read last
}

// newCertificateExpiry tells of the certificates that the configuration names. One that is not used by any of the
// process's roles expires all the same.
func newCertificateExpiry(c Config) *certificateExpiry {
	e := &certificateExpiry{
		desc: prometheus.NewDesc("audittrail_certificate_expiry_timestamp_seconds",
			"When a certificate of the configuration expires, in seconds since 1970: the earliest of its chain, as its file is now. There is a series for each section that names one; 0: it could never be read.",
			[]string{"section"}, nil),
		files: map[string]string{}, last: map[string]time.Time{},
	}
	for section, file := range map[string]string{"http.tls": c.HTTP.TLS.Cert, "admin.tls": c.Admin.TLS.Cert, "kafka.tls": c.Kafka.TLS.Cert} {
		if file != "" {
			e.files[section] = file
		}
	}
	return e
}

// Describe implements prometheus.Collector.
func (e *certificateExpiry) Describe(out chan<- *prometheus.Desc) { out <- e.desc }

// Collect implements prometheus.Collector.
func (e *certificateExpiry) Collect(out chan<- prometheus.Metric) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for section, file := range e.files {
		if at, ok := expiryOf(file); ok {
			e.last[section] = at
		}
		seconds := 0.0
		if at, ok := e.last[section]; ok {
			seconds = float64(at.Unix())
		}
		out <- prometheus.MustNewConstMetric(e.desc, prometheus.GaugeValue, seconds, section)
	}
}

// expiryOf returns when the first certificate of a PEM file expires; false where it holds none, or one that is broken.
func expiryOf(file string) (earliest time.Time, ok bool) {
	rest, err := os.ReadFile(file)
	if err != nil {
		return earliest, false
	}
	for {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return earliest, ok
		}
		if block.Type != "CERTIFICATE" {
			continue
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return earliest, false
		}
		if !ok || cert.NotAfter.Before(earliest) {
			earliest, ok = cert.NotAfter, true
		}
	}
}
