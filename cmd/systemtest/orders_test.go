package systemtest

import (
	"bufio"
	"compress/gzip"
	"io"
	"os"
	"testing"
	"time"
)

// excerpt is what is tested where the whole file is not at hand.
const excerpt = "testdata/purchase-orders-excerpt.jsonl.gz"

// TestPurchaseOrders proves that real events, with event types of every spelling, items of hundreds of
// events, many in the same minute, and some of 1948, are all stored once; and none again when the same
// file is published again.
func TestPurchaseOrders(t *testing.T) {
	t.Parallel()
	file := os.Getenv("TEST_PURCHASE_ORDERS")
	if file == "" {
		file = excerpt
	}
	events := lines(t, file)
	s := newStack(t)
	publish := func() { do(t, "publish", file, "--topic", s.topic, "--kafka.brokers", s.brokers[0]) }

	publish()
	p := s.ingest("ingest")
	began := time.Now()
	s.caughtUp(3*time.Minute, p)
	t.Logf("%d events in %s", events, time.Since(began).Round(100*time.Millisecond))
	s.counts(events, 0)
	if n := one[int64](s, "SELECT count(*) FROM events WHERE timestamp < '1949-01-01'"); n != 2 {
		t.Errorf("%d events of 1948, not 2", n)
	}
	if n := one[int64](s, `SELECT count(*) FROM (SELECT version, lag(version) OVER (PARTITION BY aggregate_id ORDER BY first_position + (id & 16383)) AS before
		FROM events JOIN ledger_batches ON batch = id >> 14) v WHERE version <> coalesce(before, 0) + 1`); n != 0 {
		t.Errorf("%d events are not where their item's history has them", n)
	}

	publish()
	s.caughtUp(3*time.Minute, p)
	s.counts(events, events)
	p.stop()
	s.balanced()
}

// counts asks what has been stored and what was a duplicate.
func (s *stack) counts(stored, duplicates int64) {
	s.t.Helper()
	if n := one[int64](s, "SELECT count(*) FROM events"); n != stored {
		s.t.Errorf("%d events are stored, not %d", n, stored)
	}
	if n := one[int64](s, "SELECT sum(duplicates)::bigint FROM ingest_ranges"); n != duplicates {
		s.t.Errorf("%d duplicates, not %d", n, duplicates)
	}
	if n := one[int64](s, "SELECT count(*) FROM dead_letters"); n != 0 {
		s.t.Errorf("%d dead letters", n)
	}
}

// lines is how many events a file has.
func lines(t *testing.T, path string) (n int64) {
	t.Helper()
	for scanner := bufio.NewScanner(openEvents(t, path)); scanner.Scan(); {
		n++
	}
	return n
}

// openEvents opens a compressed file of events.
func openEvents(t *testing.T, path string) io.Reader {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	text, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	return text
}
