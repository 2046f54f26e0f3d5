package ingest

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

func TestOffsetsComeFromTheStoreNotFromTheGroup(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 2), unique("group")
	b.produce(topic, 0, events(0, 100)...)
	b.produce(topic, 1, events(100, 200)...)
	// The group says that all but the last record are done; the store has never seen partition 0 and
	// has 30 of partition 1.
	ctx := context.Background()
	var commit kadm.Offsets
	commit.AddOffset(topic, 0, 99, -1)
	commit.AddOffset(topic, 1, 99, -1)
	if err := b.admin.CommitAllOffsets(ctx, group, commit); err != nil {
		t.Fatal(err)
	}
	id := b.topicID(topic)
	st.admitted[topic] = id
	st.offsets[store.Partition{TopicID: id, Topic: topic, Number: 1}] = &fakeOffset{next: 30, epoch: -1}

	p := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "the rest of both partitions", func() bool { n, _ := st.count(); return n == 170 })
	p.stop()
	if st.next(topic, 0) != 100 || st.next(topic, 1) != 100 {
		t.Errorf("not at the end: %v", st)
	}
	committed, err := b.admin.FetchOffsets(ctx, group)
	if err != nil {
		t.Fatal(err)
	}
	for partition := range int32(2) {
		if o, _ := committed.Lookup(topic, partition); o.At != 100 {
			t.Errorf("group's offset of partition %d is %d, want 100, for lag tools", partition, o.At)
		}
	}
}

func TestARestartGoesOnWhereTheStoreSays(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 1), unique("group")
	b.produce(topic, 0, events(0, 500)...)
	first := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "500 events", func() bool { n, _ := st.count(); return n == 500 })
	first.stop()
	b.produce(topic, 0, events(500, 700)...)
	second := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "700 events", func() bool { n, _ := st.count(); return n == 700 })
	second.stop()
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}

func TestAssignmentWaitsWhileTheStoreIsAway(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	st.away = errAway
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "health to say so", func() bool {
		err := p.role.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), errAway.Error())
	})
	st.set(func() { st.away = nil })
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	if err := p.role.Health(context.Background()); err != nil {
		t.Errorf("health: %v", err)
	}
}

func TestAHeadThatWasDeletedBeforeFirstSightIsNotClaimed(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 100)...)
	b.deleteBefore(topic, 0, 40)
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "the 60 that are there", func() bool { n, _ := st.count(); return n == 60 })
	if o := st.offsets[store.Partition{TopicID: st.admitted[topic], Topic: topic}]; o.first != 40 || o.absent != 0 {
		t.Errorf("accounting begins at %d with %d absent, want 40 with none", o.first, o.absent)
	}
}

func TestATopicThatWasMadeAgainIsStoppedAndOthersGoOn(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	good, again := b.topic(unique("good"), 1), b.topic(unique("again"), 1)
	st.admitted[again] = event.TopicID{1, 2, 3}
	b.produce(good, 0, events(0, 10)...)
	b.produce(again, 0, events(10, 20)...)
	p := start(t, b, st, []string{good, again}, setup{})
	eventually(t, "the good topic's events", func() bool { n, _ := st.count(); return n == 10 })
	eventually(t, "health to name the topic", func() bool { return stopped(p, again) })
	if n, _ := st.count(); n != 10 {
		t.Errorf("%d events, want the 10 of the good topic", n)
	}
	if err := p.role.Health(context.Background()); err == nil || !strings.Contains(err.Error(), "'audittrail topics admit "+again+"'") {
		t.Errorf("health does not name the cure: %v", err)
	}
}

func TestATopicMadeAgainUnderARunningRole(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	good, again := b.topic(unique("good"), 1), b.topic(unique("again"), 1)
	b.produce(again, 0, events(0, 10)...)
	p := start(t, b, st, []string{good, again}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	if _, err := b.admin.DeleteTopic(context.Background(), again); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic to be made again", func() bool {
		_, err := b.admin.CreateTopic(context.Background(), 1, -1, nil, again)
		return err == nil
	})
	b.client.PurgeTopicsFromClient(again)
	b.await(again, 1)
	b.produce(again, 0, events(10, 30)...)
	eventually(t, "health to name the topic", func() bool { return stopped(p, again) })
	b.produce(good, 0, events(100, 110)...)
	eventually(t, "the good topic's events", func() bool { n, _ := st.count(); return n == 20 })
	if next := st.next(again, 0); next != 10 {
		t.Errorf("the topic's row is at %d, want 10", next)
	}
}

func stopped(p *process, topic string) bool {
	err := p.role.Health(context.Background())
	return err != nil && strings.Contains(err.Error(), "topic "+topic+" is stopped")
}

func TestPartitionsAddedLaterAreReadFromTheirStart(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	start(t, b, st, []string{topic}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	if _, err := b.admin.CreatePartitions(context.Background(), 2, topic); err != nil {
		t.Fatal(err)
	}
	b.await(topic, 3)
	b.client.PurgeTopicsFromClient(topic) // it would not see the new partitions for a while
	b.produce(topic, 1, events(10, 30)...)
	b.produce(topic, 2, events(30, 60)...)
	eventually(t, "60 events", func() bool { n, _ := st.count(); return n == 60 })
}

// topicID asks for a topic's id.
func (b *broker) topicID(topic string) event.TopicID {
	b.t.Helper()
	topics, err := b.admin.ListTopics(context.Background(), topic)
	if err != nil {
		b.t.Fatal(err)
	}
	return event.TopicID(topics[topic].ID)
}

func (b *broker) deleteBefore(topic string, partition int32, offset int64) {
	b.t.Helper()
	var o kadm.Offsets
	o.AddOffset(topic, partition, offset, -1)
	answer, err := b.admin.DeleteRecords(context.Background(), o)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		b.t.Fatalf("delete records: %v", err)
	}
}

// holdFetches has the fake broker refuse fetches, with an error that passes, until open is called. It
// returns once no fetch from before is under way.
func (b *broker) holdFetches() (open func()) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	fault := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.NotLeaderForPartition, Count: -1})
	if err := fault.Wait(ctx, 2); err != nil {
		b.t.Fatal(err)
	}
	return fault.Remove
}
