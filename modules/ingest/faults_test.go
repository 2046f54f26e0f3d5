package ingest

import (
	"context"
	"crypto/sha256"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

func TestAnAppendThatFailsIsTriedAgainWithTheSameBatch(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 100)...)
	var tries [][2]int64
	st.hook = func(_ context.Context, b store.Batch) error {
		if len(tries) < 4 {
			tries = append(tries, [2]int64{b.Ranges[0].From, b.Ranges[0].To})
			return errAway
		}
		return nil
	}
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "health to say so", func() bool {
		err := p.role.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), errAway.Error())
	})
	eventually(t, "100 events", func() bool { n, _ := st.count(); return n == 100 })
	eventually(t, "health to recover", func() bool { return p.role.Health(context.Background()) == nil })
	for _, try := range tries {
		if try != tries[0] {
			t.Errorf("tries differ: %v", tries)
		}
	}
}

// COMMIT went through, its answer did not: the fence tells.
func TestALostAnswerDoublesAndLosesNothing(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 3)
	for partition := range int32(3) {
		b.produce(topic, partition, events(int(partition)*100, int(partition)*100+100)...)
	}
	var answers atomic.Int32
	st.after = func(store.Batch) error {
		if answers.Add(1)%2 == 1 {
			return errors.New("connection reset")
		}
		return nil
	}
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "300 events", func() bool { n, _ := st.count(); return n == 300 })
	b.produce(topic, 0, events(300, 310)...)
	eventually(t, "10 more", func() bool { n, _ := st.count(); return n == 310 })
	eventually(t, "the metric", func() bool { return value(t, p.reg, "audittrail_ingest_records_total", topic, outcomeStored) == 310 })
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}

func TestAPartitionThatSomebodyElseMovedOnIsTakenUpThere(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 2)
	b.produce(topic, 0, events(0, 100)...)
	var moved atomic.Bool
	st.hook = func(_ context.Context, batch store.Batch) error {
		if !moved.Swap(true) {
			st.set(func() {
				for p, o := range st.offsets {
					if p.Number == 0 {
						o.next = 60 // offsets 0 to 59 are another process's
					}
				}
			})
		}
		return nil
	}
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "the last 40", func() bool { n, _ := st.count(); return n == 40 })
	b.produce(topic, 0, events(100, 110)...)
	b.produce(topic, 1, events(110, 120)...)
	eventually(t, "20 more", func() bool { n, _ := st.count(); return n == 60 })
	p.stop()
	if st.duplicate != 0 || st.next(topic, 0) != 110 {
		t.Errorf("not as expected: %v", st)
	}
}

// The database was restored from a backup: it knows less than was acknowledged.
func TestAnOlderDatabaseIsCaughtUp(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		change func(st *fakeStore)
	}{
		{"the row is behind", func(st *fakeStore) {
			for _, o := range st.offsets {
				o.next = 20
			}
		}},
		{"there is no row yet", func(st *fakeStore) { clear(st.offsets) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, st := newBroker(t), newFakeStore(t)
			topic := b.topic(unique("orders"), 1)
			b.produce(topic, 0, events(0, 50)...)
			start(t, b, st, []string{topic}, setup{})
			eventually(t, "50 events", func() bool { n, _ := st.count(); return n == 50 })
			st.set(func() { c.change(st); clear(st.events) })
			b.produce(topic, 0, events(50, 60)...)
			want := 40
			if c.name == "there is no row yet" {
				want = 60
			}
			eventually(t, "what the database lacks", func() bool { n, _ := st.count(); return n == want })
			if next := st.next(topic, 0); next != 60 {
				t.Errorf("at offset %d, want 60", next)
			}
		})
	}
}

// The row is gone, and then the database is away, too: ingest asks again at a measured pace, says so, and
// goes on once it is told.
func TestAskingWhereToGoOnIsPaced(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 50)...)
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "50 events", func() bool { n, _ := st.count(); return n == 50 })
	var before int
	st.set(func() {
		clear(st.offsets)
		clear(st.events)
		st.noOffsets = errAway
		before = st.asked
	})
	b.produce(topic, 0, events(50, 60)...)
	asked := func() (n int) { st.set(func() { n = st.asked - before }); return n }
	begin := time.Now()
	eventually(t, "five tries", func() bool { return asked() >= 5 })
	if pace := time.Since(begin); pace < time.Second {
		t.Errorf("five tries in %v", pace)
	}
	if err := p.role.Health(context.Background()); err == nil {
		t.Error("health says nothing")
	}
	st.set(func() { st.noOffsets = nil })
	eventually(t, "60 events", func() bool { n, _ := st.count(); return n == 60 })
	eventually(t, "health to recover", func() bool { return p.role.Health(context.Background()) == nil })
}

func TestATopicAdmittedUnderAnotherIDMeanwhileIsStopped(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	st.set(func() { clear(st.offsets); st.admitted[topic] = event.TopicID{9} })
	b.produce(topic, 0, events(10, 20)...)
	eventually(t, "health to name the topic", func() bool { return stopped(p, topic) })
}

// While the store is away memory is bounded, the group goes on, and nothing has to be restarted.
func TestTheStoreIsAwayForAWhile(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 2)
	group := unique("group")
	p := start(t, b, st, []string{topic}, setup{
		options: func(o *Options) { o.MaxInFlightBytes = minInFlight; o.MaxFetchBytes = 256 << 10 },
		deps: func(d *Dependencies) {
			d.Kafka.Group = group
			if b.fake != nil {
				d.Kafka.SessionTimeout = minSession
			}
		},
	})
	<-p.ready
	b.produce(topic, 0, events(0, 10)...)
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	st.set(func() { st.away = errAway })
	const many = 20_000 // about 25 MB decoded: six times the budget
	for from := 10; from < many; from += 1000 {
		b.produce(topic, int32(from/1000)%2, events(from, min(many, from+1000))...)
	}
	members := b.generation(group)
	eventually(t, "the budget to be spent", func() bool {
		return value(t, p.reg, "audittrail_ingest_in_flight_bytes") > minInFlight/2
	})
	pass(minSession * 2)
	if used := value(t, p.reg, "audittrail_ingest_in_flight_bytes"); used > minInFlight {
		t.Errorf("%v bytes in flight, at most %d", used, minInFlight)
	}
	if after := b.generation(group); after != members {
		t.Errorf("the group was rebalanced: %s, then %s", members, after)
	}
	st.set(func() { st.away = nil })
	eventually(t, "all events", func() bool { n, _ := st.count(); return n == many })
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}

func TestPoisonRecordsAreRejectedBetweenGoodOnes(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	large := eventJSON(3)[:len(eventJSON(3))-1] + `,"note":"` + strings.Repeat("x", 2048) + `"}`
	b.produce(topic, 0, eventJSON(0), "", "{", eventJSON(1), `[]`, "\xff", large, eventJSON(2), `{"eventId":5}`)
	p := start(t, b, st, []string{topic}, setup{options: func(o *Options) { o.MaxRecordBytes = 1024 }})
	eventually(t, "the end", func() bool { return st.next(topic, 0) == 9 })
	p.stop()
	if good, bad := st.count(); good != 3 || bad != 6 {
		t.Fatalf("%d events and %d rejected, want 3 and 6", good, bad)
	}
	want := map[int64]event.Reason{1: event.EmptyValue, 2: event.MalformedJSON, 4: event.MalformedJSON, 5: event.MalformedJSON, 6: event.TooLarge, 8: event.InvalidField}
	for _, r := range st.rejected {
		if want[r.Raw.Offset] != r.Reason && r.Raw.Offset != 5 {
			t.Errorf("offset %d: %s, want %s", r.Raw.Offset, r.Reason, want[r.Raw.Offset])
		}
		if o := r.Raw.Oversize; r.Raw.Offset == 6 && (o == nil || o.Length != int64(len(large)) || o.SHA256 != sha256.Sum256([]byte(large))) {
			t.Errorf("the record that is too large is described as %+v", o)
		}
	}
	if got := value(t, p.reg, "audittrail_ingest_records_total", topic, outcomeDeadLettered); got != 6 {
		t.Errorf("metric counts %v dead letters, want 6", got)
	}
}

func TestARecordLargerThanTheBudgetGoesThroughAlone(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	// Compressed it is small to the broker.
	b.produce(topic, 0, eventJSON(0), strings.Repeat(" ", 5<<20), eventJSON(1))
	start(t, b, st, []string{topic}, setup{options: func(o *Options) { o.MaxInFlightBytes, o.MaxRecordBytes = minInFlight, 8<<20 }})
	eventually(t, "the end", func() bool { return st.next(topic, 0) == 3 })
	if good, bad := st.count(); good != 2 || bad != 1 {
		t.Fatalf("%d events and %d rejected, want 2 and 1", good, bad)
	}
	if len(st.rejected[0].Raw.Value) != 5<<20 {
		t.Errorf("the large record has %d bytes", len(st.rejected[0].Raw.Value))
	}
}

// A server that is frozen answers nothing, and says nothing either.
func TestAnAppendThatHangsIsTriedAgain(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	var hung atomic.Bool
	st.hook = func(ctx context.Context, _ store.Batch) error {
		if hung.Swap(true) {
			return nil
		}
		<-ctx.Done()
		return ctx.Err()
	}
	start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) { d.appendTimeout = 100 * time.Millisecond }})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
}
