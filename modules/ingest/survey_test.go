package ingest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"audittrail/modules/event"
)

// lag is a topic's lag as a process measures it; -1 where it has not yet.
func (p *process) lag(topic string) float64 {
	p.t.Helper()
	families, err := p.reg.Gather()
	if err != nil {
		p.t.Fatal(err)
	}
	const name = "audittrail_ingest_lag_records"
	for _, f := range families {
		if f.GetName() == name {
			return value(p.t, p.reg, name, topic)
		}
	}
	return -1
}

// A standby that lacked commits was promoted: the records are in Kafka, nobody writes, and nothing would be fetched.
func TestAQuietPartitionIsCaughtUpAfterCommitsWereLost(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(st *fakeStore){
		"the row is behind": func(st *fakeStore) {
			for _, o := range st.offsets {
				o.next = 20
			}
		},
		"the topic is not known": func(st *fakeStore) { clear(st.offsets); clear(st.admitted) },
	} {
		t.Run(name, func(t *testing.T) {
			b, st := newBroker(t), newFakeStore(t)
			topic := b.topic(unique("orders"), 1)
			b.produce(topic, 0, events(0, 50)...)
			p := start(t, b, st, []string{topic}, setup{})
			eventually(t, "50 events", func() bool { n, _ := st.count(); return n == 50 })
			st.set(func() { forget(st); clear(st.events) })
			eventually(t, "what the database lacks", func() bool { return st.next(topic, 0) == 50 })
			if err := p.role.Health(context.Background()); err != nil {
				t.Errorf("health: %v", err)
			}
		})
	}
}

// Lag is what is not committed, whoever reads the partition, also where nothing is read at all.
func TestLagCoversEveryPartition(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 4), unique("group")
	for partition := range int32(4) {
		b.produce(topic, partition, events(int(partition)*10, int(partition)*10+10)...)
	}
	p := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "40 events", func() bool { n, _ := st.count(); return n == 40 })
	q := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "two members", func() bool { return b.members(group) == 2 })
	eventually(t, "no lag", func() bool { return p.lag(topic) == 0 && q.lag(topic) == 0 })
	st.set(func() { st.noOffsets = errAway })
	st.hookFails(errAway)
	for partition := range int32(4) {
		b.produce(topic, partition, events(100+int(partition)*10, 100+int(partition)*10+5)...)
	}
	for _, one := range []*process{p, q} {
		eventually(t, "the lag of all partitions in each process", func() bool { return one.lag(topic) == 20 })
		eventually(t, "a delay", func() bool { return value(t, one.reg, "audittrail_ingest_delay_seconds", topic) > 0 })
	}
	st.set(func() { st.noOffsets = nil })
	st.hookFails(nil)
	for _, one := range []*process{p, q} {
		eventually(t, "no delay", func() bool { return value(t, one.reg, "audittrail_ingest_delay_seconds", topic) == 0 })
	}
}

// hookFails has appends fail from now on.
func (s *fakeStore) hookFails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refused = err
}

// Topics that a pattern finds have their lag in processes that read nothing of them.
func TestLagOfTopicsThatAPatternFinds(t *testing.T) {
	b, st := newBroker(t), newFakeStore(t)
	prefix, group := unique("orders"), unique("group")
	first, second := b.topic(prefix+"-a", 1), b.topic(prefix+"-b", 1)
	b.produce(first, 0, events(0, 10)...)
	processes := []*process{
		start(t, b, st, []string{"^" + prefix + ".*"}, inGroup(group)),
		start(t, b, st, []string{"^" + prefix + ".*"}, inGroup(group)),
		start(t, b, st, []string{"^" + prefix + ".*"}, inGroup(group)), // has no partition
	}
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	eventually(t, "three members", func() bool { return b.members(group) == 3 })
	st.hookFails(errAway)
	b.produce(second, 0, events(10, 17)...)
	for _, p := range processes {
		eventually(t, "the lag", func() bool { return p.lag(second) == 7 && p.lag(first) == 0 })
	}
	st.hookFails(nil)
	eventually(t, "no lag", func() bool { return processes[0].lag(second) == 0 })
}

func TestLagOfATopicMadeAgainIsItsWholeLog(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	again := b.topic(unique("again"), 1)
	st.admitted[again] = event.TopicID{1, 2, 3}
	b.produce(again, 0, events(0, 10)...)
	p := start(t, b, st, []string{again}, setup{})
	eventually(t, "health to name the topic", func() bool { return stopped(p, again) })
	eventually(t, "its lag", func() bool { return p.lag(again) == 10 })
}

// The operator admits a topic that was made again: no process has to be restarted.
func TestATopicMadeAgainIsReadOnceItIsAdmitted(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	good, again, group := b.topic(unique("good"), 1), b.topic(unique("again"), 2), unique("group")
	b.produce(again, 0, events(0, 10)...)
	processes := []*process{start(t, b, st, []string{good, again}, inGroup(group)), start(t, b, st, []string{good, again}, inGroup(group))}
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	eventually(t, "two members", func() bool { return b.members(group) == 2 })
	b.makeAgain(again, 2)
	b.produce(again, 0, events(10, 30)...)
	b.produce(again, 1, events(30, 50)...)
	eventually(t, "health to name the topic", func() bool {
		return slices.ContainsFunc(processes, func(p *process) bool { return stopped(p, again) })
	})
	id := b.topicID(again)
	st.set(func() { st.admitted[again] = id })
	eventually(t, "the new topic's events", func() bool { n, _ := st.count(); return n == 50 })
	for _, p := range processes {
		p.recovers(again)
	}
	b.produce(good, 0, events(100, 110)...)
	eventually(t, "the good topic's events", func() bool { n, _ := st.count(); return n == 60 })
}

func (b *broker) makeAgain(topic string, partitions int32) {
	b.t.Helper()
	if _, err := b.admin.DeleteTopic(context.Background(), topic); err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, "the topic to be made again", func() bool {
		_, err := b.admin.CreateTopic(context.Background(), partitions, -1, nil, topic)
		return err == nil
	})
	b.client.PurgeTopicsFromClient(topic)
	b.await(topic, partitions)
}

// A topic that does not exist is told of, and nothing fails.
func TestAMissingTopicIsToldAndIsNoFailure(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, missing := b.topic(unique("orders"), 1), unique("missing")
	b.produce(topic, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic, missing}, setup{})
	if got := value(t, p.reg, "audittrail_ingest_missing_topics", topic); got != 0 {
		t.Errorf("the topic that is there counts %v", got)
	}
	tells := func() bool {
		notes := p.role.Notes()
		return len(notes) == 1 && strings.Contains(notes[0], missing) && value(t, p.reg, "audittrail_ingest_missing_topics", missing) == 1
	}
	eventually(t, "a note and the metric", tells)
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	if err := p.role.Health(context.Background()); err != nil {
		t.Errorf("health: %v", err)
	}
	b.topic(missing, 1)
	b.produce(missing, 0, events(10, 20)...)
	eventually(t, "20 events", func() bool { n, _ := st.count(); return n == 20 })
	eventually(t, "the note to go", func() bool {
		return len(p.role.Notes()) == 0 && value(t, p.reg, "audittrail_ingest_missing_topics", missing) == 0
	})
}

// A topic that is deleted while it is read is missing, no more.
func TestATopicThatIsDeletedIsMissing(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, deleted := b.topic(unique("orders"), 1), b.topic(unique("deleted"), 1)
	b.produce(deleted, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic, deleted}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	if _, err := b.admin.DeleteTopic(context.Background(), deleted); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a note", func() bool { return len(p.role.Notes()) == 1 })
	b.produce(topic, 0, events(10, 20)...)
	eventually(t, "20 events", func() bool { n, _ := st.count(); return n == 20 })
	pass(retryPartition / 2) // the client has asked for the deleted topic again and again
	if err := p.role.Health(context.Background()); err != nil {
		t.Errorf("health: %v", err)
	}
}
