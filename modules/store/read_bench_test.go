package store_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// fillMany stores n events over 100 aggregates by SQL, a thousand a batch: reading is what is measured.
func (s testStore) fillMany(b *testing.B, n int) {
	b.Helper()
	_, err := s.owner.Exec(b.Context(), `
		INSERT INTO ledger_batches (log, first_position, batch, count, recorded_at, earliest, latest)
		SELECT 'events', (k-1)*1000, k, 1000, now(), timestamptz '2026-01-01' + (k-1)*1000 * interval '1 second',
			timestamptz '2026-01-01' + (k*1000-1) * interval '1 second' FROM generate_series(1, $1::int/1000) k`, n)
	require.NoError(b, err)
	_, err = s.owner.Exec(b.Context(), `
		INSERT INTO events (id, timestamp, created_at, kafka_offset, kafka_partition, version, event_id, event_type,
			aggregate_type, aggregate_id, kafka_topic, salt, payload, metadata)
		SELECT ((n/1000+1)::bigint << 14) | n%1000, timestamptz '2026-01-01' + n * interval '1 second', now(), n, 0, 1,
			('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, 'Type' || n%7, 'Order', 'order-' || n%100, 'orders',
			'\x00000000000000000000000000000000', jsonb_build_object('n', n, 'text', repeat('x', 300)), '{"source":"bench"}'
		FROM generate_series(0, $1::int-1) n`, n)
	require.NoError(b, err)
	_, err = s.owner.Exec(b.Context(), `INSERT INTO event_keys SELECT event_id, id >> 14, timestamp, '\x01' FROM events; ANALYZE`)
	require.NoError(b, err)
}

func BenchmarkRead(b *testing.B) {
	s := newStore(b)
	s.fillMany(b, 50_000)
	r := s.reader(b)
	run := func(name string, f func(i int) (int, error)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				n, err := f(i)
				require.NoError(b, err)
				require.NotZero(b, n)
			}
		})
	}
	run("event", func(i int) (int, error) {
		eventID, _ := event.ParseID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i*7919%50_000))
		_, err := r.Event(b.Context(), eventID)
		return 1, err
	})
	run("aggregate", func(i int) (int, error) {
		p, err := r.Events(b.Context(), store.Filter{AggregateType: "Order", AggregateID: fmt.Sprint("order-", i%100)}, store.Page{Limit: 50, Order: store.Ascending})
		return len(p.Items), err
	})
	run("type", func(i int) (int, error) {
		p, err := r.Events(b.Context(), store.Filter{EventTypes: []string{fmt.Sprint("Type", i%7)}}, store.Page{Limit: 50})
		return len(p.Items), err
	})
	run("all", func(int) (int, error) {
		p, err := r.Events(b.Context(), store.Filter{}, store.Page{Limit: 50})
		return len(p.Items), err
	})
	run("feed", func(i int) (int, error) {
		p, err := r.Feed(b.Context(), int64(i*1009%49_000), 50)
		return len(p.Items), err
	})
}
