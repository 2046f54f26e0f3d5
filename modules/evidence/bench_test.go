package evidence_test

import (
	"io"
	"strings"
	"testing"

	"audittrail/modules/evidence"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

func BenchmarkVerifyBundle(b *testing.B) {
	h := newHistory(b, 10_000)
	var all []int
	for i := range 10_000 {
		all = append(all, i)
	}
	text, keys := h.bundle(all...), ledgertest.Trusting(b, h.key)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := evidence.Verify(strings.NewReader(text), keys, nil); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkWriteBundle(b *testing.B) {
	h := newHistory(b, 10_000)
	p, err := ledger.NewEventProver(h.tree, h.signed)
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		w, err := evidence.NewBundleWriter(io.Discard, ledger.Events, h.signed)
		if err != nil {
			b.Fatal(err)
		}
		for from := 0; from < 10_000; from += 500 {
			if err := w.Events(b.Context(), p, h.events[from:from+500]); err != nil {
				b.Fatal(err)
			}
		}
	}
	b.ReportMetric(float64(b.N)*10_000/b.Elapsed().Seconds(), "entries/s")
}
