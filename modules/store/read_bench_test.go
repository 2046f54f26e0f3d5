package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// fillMany stores n events over 100 aggregates, a thousand a batch.
func (s testStore) fillMany(b *testing.B, n int) {
	b.Helper()
	s.begin(b, 1)
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	payload := `{"text":"` + strings.Repeat("x", 300) + `"}`
	for from := 0; from < n; from += 1000 {
		var events []given
		for i := from; i < from+1000; i++ {
			events = append(events, given{
				n: i, typ: fmt.Sprint("Type", i%7), aggregate: fmt.Sprint("order-", i%100),
				at: event.FormatTime(begin.Add(time.Duration(i) * time.Second)), payload: payload,
			})
		}
		s.appendAll(b, int64(from), events...)
	}
	_, err := s.owner.Exec(b.Context(), `ANALYZE events`)
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
		p, err := r.Feed(b.Context(), store.Filter{}, int64(i*1009%49_000), 50)
		return len(p.Items), err
	})
}
