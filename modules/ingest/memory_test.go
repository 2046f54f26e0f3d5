package ingest

import (
	"context"
	"runtime"
	"testing"

	"audittrail/modules/protect"
	"audittrail/modules/protect/protecttest"
	"audittrail/modules/store"
)

// The estimate of what a record costs has to be honest: with defaults, and the store away, the heap grows
// by no more than the budget and what the client holds.
func TestMemoryIsBoundedWhileTheStoreIsAway(t *testing.T) {
	t.Run("open", func(t *testing.T) { boundedMemory(t, setup{}) })
	t.Run("sealed", func(t *testing.T) {
		var options []protect.RuleOptions // 9 values of each event
		for _, path := range []string{"payload.currency", "payload.total", "payload.lines[*].sku", "payload.lines[*].price", "payload.shipping.method", "payload.shipping.city", "metadata.userId"} {
			options = append(options, protect.RuleOptions{EventType: "*", Path: "$." + path, Subject: "$.payload.customerId"})
		}
		rules, err := protect.NewRules(options)
		if err != nil {
			t.Fatal(err)
		}
		keys := protect.NewKeyring(&protecttest.Keys{}, new(protecttest.KEK).Open)
		boundedMemory(t, setup{deps: func(d *Dependencies) { d.Sealer = protect.WithRules(rules, keys) }})
	})
}

func boundedMemory(t *testing.T, s setup) {
	t.Helper()
	b, st := newBroker(t), newFakeStore(t)
	const partitions = 6
	topic := b.topic(unique("orders"), partitions)
	b.produceBench(topic, 60_000, partitions)
	before := liveHeap() // with all of the log, where the broker is a fake one
	st.hook = func(context.Context, store.Batch) error { return errAway }
	p := start(t, b, st, []string{topic}, s)
	budget := p.role.options.MaxInFlightBytes
	eventually(t, "the budget to be spent", func() bool {
		return value(t, p.reg, "audittrail_ingest_in_flight_bytes") > float64(budget)*9/10
	})
	pass(fetchWait) // the client goes on until its own buffers are full
	grown := liveHeap() - before
	t.Logf("the heap grew by %d MiB", grown>>20)
	if most := budget + 16<<20; grown > most {
		t.Errorf("the heap grew by %d MiB, at most %d MiB", grown>>20, most>>20)
	}
}

func liveHeap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
