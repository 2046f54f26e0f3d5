package ledger_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"audittrail/modules/event"
	"audittrail/modules/ledger"
	"audittrail/modules/ledger/ledgertest"
)

// One event's proof for a reader who comes with nothing, the first proof of a request.
func BenchmarkProveOne(b *testing.B) {
	m := ledgertest.NewMemory(b, ledgertest.Numbered(1_000_000))
	m.Build(1_000_000)
	at := int64(0)
	for b.Loop() {
		at = (at + 611_953) % 1_000_000
		m.Inclusion(1_000_000, at)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "proofs/s")
}

// A bundle of many events, in no order, and in that of the log.
func BenchmarkProveMany(b *testing.B) {
	m := ledgertest.NewMemory(b, ledgertest.Numbered(1_000_000))
	m.Build(1_000_000)
	random := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		next func(int64) int64
	}{
		{"scattered", func(int64) int64 { return random.Int64N(1_000_000) }},
		{"in order", func(i int64) int64 { return (i + 1) % 1_000_000 }},
	} {
		b.Run(c.name, func(b *testing.B) {
			p := m.Prover(1_000_000)
			indexes, at := make([]int64, 500), int64(0)
			for b.Loop() {
				for i := range indexes {
					at = c.next(at)
					indexes[i] = at
				}
				if _, err := p.Inclusion(b.Context(), indexes...); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(indexes))/b.Elapsed().Seconds(), "proofs/s")
		})
	}
}

func BenchmarkRoot(b *testing.B) {
	m := ledgertest.NewMemory(b, ledgertest.Numbered(999_999))
	m.Build(999_999)
	for b.Loop() {
		m.Root(999_999)
	}
}

// Tiles of a million entries, from nothing: how fast a notary that fell behind catches up.
func BenchmarkBuildTiles(b *testing.B) {
	m := ledgertest.NewMemory(b, ledgertest.Numbered(1_000_000))
	b.ReportAllocs()
	for b.Loop() {
		err := ledger.BuildTiles(b.Context(), m, 0, 1_000_000, func(context.Context, int64, []ledger.TilePart) error { return nil })
		if err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "entries/s")
}

// What it costs to check proofs before they are handed out: beside BenchmarkProveMany, whose work is in it.
func BenchmarkProveEvents(b *testing.B) {
	h := newHistory(b, 100_000)
	for name, step := range map[string]int{"in order": 1, "scattered": 61_195} {
		b.Run(name, func(b *testing.B) {
			events := make([]event.Stored, 500)
			p, err := ledger.NewEventProver(h.tree, h.signed)
			if err != nil {
				b.Fatal(err)
			}
			at := 0
			for b.Loop() {
				for i := range events {
					at = (at + step) % len(h.events)
					events[i] = h.events[at]
				}
				if _, err := p.Prove(b.Context(), events); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(events))/b.Elapsed().Seconds(), "proofs/s")
		})
	}
}
