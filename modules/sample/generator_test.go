package sample

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"audittrail/modules/event"
)

func take(g *Generator, n int) []Record {
	records := make([]Record, n)
	for i := range records {
		records[i] = g.Next()
	}
	return records
}

func TestSameOptionsGiveTheSameRecords(t *testing.T) {
	opts := Options{Seed: 7, BadShare: 0.05, RepeatShare: 0.05}
	first, second := take(New(opts), 3000), take(New(opts), 3000)
	for i := range first {
		if !bytes.Equal(first[i].Value, second[i].Value) || !first[i].At.Equal(second[i].At) || first[i].Reason != second[i].Reason {
			t.Fatalf("record %d differs:\n%s\n%s", i, first[i].Value, second[i].Value)
		}
	}
	opts.Seed = 8
	if other := take(New(opts), 1); bytes.Equal(first[0].Value, other[0].Value) {
		t.Fatal("another seed gives the same record")
	}
}

func TestRecordsComeInOrderOfTime(t *testing.T) {
	for _, live := range []bool{false, true} {
		records := take(New(Options{Seed: 1, Live: live, Interval: time.Second, BadShare: 0.1, RepeatShare: 0.1}), 5000)
		for i := 1; i < len(records); i++ {
			if records[i].At.Before(records[i-1].At) {
				t.Fatalf("live=%v: record %d is earlier than the one before it", live, i)
			}
		}
	}
}

func TestEventIDsAreUniqueAndVersion7(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range take(New(Options{Seed: 3}), 15_000) {
		var doc document
		if err := json.Unmarshal(r.Value, &doc); err != nil {
			t.Fatal(err)
		}
		if seen[doc.EventID] {
			t.Fatalf("event id %s comes twice", doc.EventID)
		}
		seen[doc.EventID] = true
		if doc.EventID[14] != '7' || !bytes.ContainsRune([]byte("89ab"), rune(doc.EventID[19])) {
			t.Fatalf("%s is no UUID of version 7", doc.EventID)
		}
	}
}

// The mean size is part of the contract: the ingest benchmark's numbers are per event of that size.
func TestGoodEventsAreAbout520Bytes(t *testing.T) {
	const n = 60_000
	g, sum := New(Options{Seed: 1}), 0
	for range n {
		sum += len(g.Next().Value)
	}
	if mean := sum / n; mean < 505 || mean > 535 {
		t.Fatalf("mean size is %d bytes, want about 520", mean)
	}
}

func TestStoriesShareACorrelationAndNameTheirCauses(t *testing.T) {
	kinds := map[string]int{}
	for number := range uint64(2000) {
		known := map[string]bool{}
		versions := map[aggregate]int{}
		correlation := ""
		for i, r := range Story(5, number, time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC), true) {
			var doc document
			if err := json.Unmarshal(r.Value, &doc); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				correlation = doc.Metadata.CorrelationID
			}
			cause := doc.Metadata.CausationID
			if doc.Metadata.CorrelationID != correlation || (i == 0) != (cause == "") || i > 0 && !known[cause] {
				t.Fatalf("story %d, event %d (%s): broken links %+v", number, i, doc.EventType, doc.Metadata)
			}
			about := aggregate{doc.AggregateType, doc.AggregateID}
			versions[about]++
			if doc.Version != versions[about] {
				t.Fatalf("story %d: %s has version %d, want %d", number, doc.EventType, doc.Version, versions[about])
			}
			if string(r.Key) != doc.AggregateID {
				t.Fatalf("story %d: %s has key %q", number, doc.EventType, r.Key)
			}
			known[doc.EventID] = true
			kinds[doc.EventType]++
		}
	}
	for _, kind := range []string{
		"OrderPlaced", "OrderConfirmed", "OrderCompleted", "OrderCancelled", "OrderBackordered", "ReturnRequested",
		"InventoryReserved", "InventoryReleased", "StockUnavailable", "StockReplenished", "ReturnReceived",
		"PaymentAuthorized", "PaymentDeclined", "PaymentCaptured", "PaymentVoided", "PaymentRefunded",
		"ShipmentCreated", "ShipmentDispatched", "ShipmentDelayed", "ShipmentDelivered",
	} {
		if kinds[kind] == 0 {
			t.Errorf("no story has a %s", kind)
		}
	}
}

func TestSharesAreKept(t *testing.T) {
	const n = 20_000
	bad, repeats, reasons := 0, 0, map[event.Reason]bool{}
	for _, r := range take(New(Options{Seed: 2, BadShare: 0.02, RepeatShare: 0.03}), n) {
		if r.Reason != "" {
			bad++
			reasons[r.Reason] = true
		}
		if r.Repeat {
			repeats++
		}
	}
	if bad < n/100 || bad > n*3/100 || repeats < n*2/100 || repeats > n*4/100 {
		t.Fatalf("%d bad and %d repeats of %d", bad, repeats, n)
	}
	if len(reasons) < 8 {
		t.Fatalf("only these reasons: %v", reasons)
	}
}
