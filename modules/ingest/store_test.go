package ingest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
	"audittrail/modules/store/audit"
	"audittrail/platform/postgres"
)

// realStore is the event store in a real PostgreSQL.
type realStore struct {
	*store.Appender
	t     testing.TB
	pool  *pgxpool.Pool // of ingest
	owner *pgxpool.Pool // of the test
}

func newRealStore(t testing.TB, url string) *realStore {
	t.Helper()
	s := &realStore{t: t}
	s.pool = openPool(t, url, postgres.PoolOptions{Name: "ingest", Role: "audittrail_ingest", MaxConns: 6, LockTimeout: 5 * time.Second, IdleInTransactionTimeout: 5 * time.Second})
	s.owner = openPool(t, url, postgres.PoolOptions{Name: "test", MaxConns: 2})
	s.Appender = store.NewAppender(store.AppenderOptions{Pool: s.pool, Breaker: s.owner, Log: testLog(t)})
	return s
}

func openPool(t testing.TB, url string, o postgres.PoolOptions) *pgxpool.Pool {
	t.Helper()
	o.URL = url
	pool, err := postgres.Open(context.Background(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// setup has a role publish the store's dead letters, too.
func (s *realStore) setup() setup {
	return setup{deps: func(d *Dependencies) { d.Outbox, d.Ping = realOutbox{store.NewOutbox(s.pool)}, s.pool.Ping }}
}

type realOutbox struct{ *store.Outbox }

func (o realOutbox) Lead(ctx context.Context) (Lead, bool, error) {
	lead, ok, err := o.TryLead(ctx)
	if err != nil || !ok {
		return nil, false, err
	}
	return lead, true, nil
}

// count answers a query's number; -1 while the database is away.
func (s *realStore) count(query string, args ...any) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	var n int64
	if err := s.owner.QueryRow(ctx, query, args...).Scan(&n); err != nil {
		return -1
	}
	return n
}

func (s *realStore) events() int64 { return s.count(`SELECT count(*) FROM events`) }

// balanced checks that every offset is accounted for, and no table contradicts another.
func (s *realStore) balanced() {
	s.t.Helper()
	r, err := audit.Reconcile(context.Background(), s.owner, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, d := range r.Discrepancies {
		s.t.Errorf("does not add up: %+v", d)
	}
}

func TestRecordsOfEverySortGoThroughTheRealStore(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newRealStore(t, migratetest.Database(t))
	topic := b.topic(unique("orders"), 3)
	b.produce(topic, 0, events(0, 3000)...)
	b.produce(topic, 1, events(2000, 4000)...) // 1000 are there twice
	b.produce(topic, 1, "{bad", "", "[]")
	b.produce(topic, 2, strings.Replace(eventJSON(5), `"total":5`, `"total":6`, 1)) // the id is taken
	b.write(&kgo.Record{Topic: topic, Partition: 2, Value: []byte(eventJSON(9000)), Headers: []kgo.RecordHeader{{Key: "traceparent", Value: []byte("x")}}})
	b.write(&kgo.Record{Topic: topic, Partition: 2, Key: []byte{0xff, 0}, Value: []byte{0xff, 0}, Headers: []kgo.RecordHeader{{Key: "a\xff", Value: []byte{0}}}})
	p := start(t, b, st, []string{topic}, st.setup())
	const all = 3000 + 2003 + 3
	eventually(t, "every offset", func() bool { return st.count(`SELECT sum(next_offset) FROM ingest_offsets`) == all })
	eventually(t, "the dead letters to be published", func() bool {
		return st.count(`SELECT count(*) FROM dead_letter_outbox WHERE published_at IS NOT NULL`) == 5
	})
	p.stop()
	if n := st.events(); n != 4001 {
		t.Errorf("%d events, want 4001", n)
	}
	st.balanced()
	for outcome, want := range map[string]float64{outcomeStored: 4001, outcomeDuplicate: 1000, outcomeDeadLettered: 5, outcomeAbsent: 0} {
		if got := value(t, p.reg, "audittrail_ingest_records_total", topic, outcome); got != want {
			t.Errorf("metric counts %v %s, want %v", got, outcome, want)
		}
	}
	if got := value(t, p.reg, "audittrail_event_id_conflicts_total"); got != 1 {
		t.Errorf("metric counts %v conflicts, want 1", got)
	}
	for _, r := range b.consume(topic+".dlq", 5) {
		if len(r.Headers) < 6 {
			t.Errorf("a dead letter has headers %v", r.Headers)
		}
	}
}

// PostgreSQL goes away under load, twice tidily and twice not, and ingest goes on by itself.
func TestPostgreSQLGoesAwayUnderLoad(t *testing.T) {
	t.Parallel()
	server := migratetest.Server(t)
	b, st := newBroker(t), newRealStore(t, server.URL())
	topic := b.topic(unique("orders"), 4)
	p := start(t, b, st, []string{topic}, setup{
		options: func(o *Options) { o.MaxBatchEvents = 500 },
		deps:    st.setup().deps,
	})
	next := 0
	more := func() {
		for range 8 {
			b.produce(topic, int32(next/500)%4, events(next, next+500)...)
			next += 500
		}
	}
	for round := range 4 {
		more()
		eventually(t, "events to flow", func() bool { return st.events() > int64(next-3500) })
		if round%2 == 0 {
			server.Stop()
		} else {
			server.Crash()
		}
		more()
		eventually(t, "health to say so", func() bool { return p.role.Health(context.Background()) != nil })
		server.Start()
	}
	eventually(t, "all events", func() bool { return st.events() == int64(next) })
	eventually(t, "health to recover", func() bool { return p.role.Health(context.Background()) == nil })
	p.stop()
	st.balanced()
	if n := st.count(`SELECT coalesce(sum(duplicates), 0) FROM ingest_ranges`); n != 0 {
		t.Errorf("%d records were appended twice", n)
	}
}

// Two processes share the partitions of a real store, and one is cut off.
func TestTwoProcessesShareARealStore(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newRealStore(t, migratetest.Database(t))
	topic, group := b.topic(unique("orders"), 6), unique("group")
	first := start(t, b, st, []string{topic}, inGroup(group))
	for n := range 30 {
		b.produce(topic, int32(n)%6, events(n*100, n*100+100)...)
		if n == 10 {
			start(t, b, st, []string{topic}, inGroup(group))
		}
		if n == 20 {
			first.stop()
		}
	}
	eventually(t, "all events", func() bool { return st.events() == 3000 })
	st.balanced()
}

// BenchmarkRealStore reports what BenchmarkIngest does, with the store behind it.
func BenchmarkRealStore(b *testing.B) {
	const events, partitions = 200_000, 6
	br := newBroker(b)
	topic := br.topic(unique("bench"), partitions)
	br.produceBench(topic, events, partitions)
	for b.Loop() {
		st := newRealStore(b, migratetest.Database(b))
		before, began := cpu(b), time.Now()
		p := start(b, br, st, []string{topic}, setup{options: func(o *Options) { o.Linger = maxLinger }})
		total := func() int64 { return st.count(`SELECT coalesce(sum(next_offset), 0) FROM ingest_offsets`) }
		for total() < events {
			if time.Since(began) > 2*time.Minute {
				b.Fatalf("%d of %d: %v", total(), events, p.role.Health(context.Background()))
			}
			pass(10 * time.Millisecond)
		}
		used, took := cpu(b)-before, time.Since(began)
		p.stop()
		b.ReportMetric(float64(used.Nanoseconds())/events/1000, "µs-cpu/event")
		b.ReportMetric(events/took.Seconds(), "events/s")
		b.ReportMetric(value(b, p.reg, "audittrail_ingest_append_seconds")/took.Seconds(), "appends-at-a-time")
		b.ReportMetric(value(b, p.reg, "audittrail_ingest_batch_events")/float64(st.count(`SELECT count(*) FROM ledger_batches`)), "events/batch")
	}
	b.ReportMetric(peakResident(b), "MiB-peak")
}
