package verify_test

import (
	"testing"

	"audittrail/modules/verify"
)

// BenchmarkVerify verifies a signed store again and again; bench/ledger measures it as users see it.
func BenchmarkVerify(b *testing.B) {
	h := newHistory(b)
	for range 20 {
		h.grow(b, 4000)
	}
	h.sign(b)
	b.ResetTimer()
	for b.Loop() {
		if report := h.verify(b, func(o *verify.Options) { o.Workers = 1 }); !report.Intact {
			b.Fatal(show(report))
		}
	}
	b.ReportMetric(float64(h.next)*float64(b.N)/b.Elapsed().Seconds(), "events/s")
}
