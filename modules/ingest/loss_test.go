package ingest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/modules/store"
)

// stopsFor waits until a partition is stopped for a reason, and until the metric says so.
func (p *process) stopsFor(topic string, partition int32, why string) {
	p.t.Helper()
	eventually(p.t, fmt.Sprintf("%s/%d to stop: %s", topic, partition, why), func() bool {
		err := p.role.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), fmt.Sprintf("partition %s/%d is stopped", topic, partition)) && strings.Contains(err.Error(), why)
	})
	eventually(p.t, "the metric", func() bool {
		return value(p.t, p.reg, "audittrail_ingest_stopped_partitions", topic) > 0
	})
}

// recovers waits until nothing is wrong any more.
func (p *process) recovers(topic string) {
	p.t.Helper()
	eventually(p.t, "health to recover", func() bool { return p.role.Health(context.Background()) == nil })
	if n := value(p.t, p.reg, "audittrail_ingest_stopped_partitions", topic); n != 0 {
		p.t.Errorf("the metric counts %v stopped partitions", n)
	}
}

// cutAt is where a log was seen to end too early; -1 where it was not.
func (s *fakeStore) cutAt(topic string, partition int32) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := s.offsets[s.log(store.Partition{TopicID: s.admitted[topic], Topic: topic, Number: partition})]
	if o == nil || o.cut == nil {
		return -1
	}
	return *o.cut
}

// One partition's lost offsets stop that partition; an operator's admission has it go on, without a restart.
func TestDeletedRecordsStopTheirPartitionAndNoOther(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 2), unique("group")
	b.produce(topic, 0, events(0, 10)...)
	first := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	first.stop()
	b.produce(topic, 0, events(10, 100)...)
	b.deleteBefore(topic, 0, 60)

	p := start(t, b, st, []string{topic}, inGroup(group))
	p.stopsFor(topic, 0, "begins at 60: 50 offsets were deleted")
	p.stopsFor(topic, 0, fmt.Sprintf("'audittrail topics admit %s --partition 0 --from 60 --reason", topic))
	b.produce(topic, 1, events(100, 120)...)
	eventually(t, "the other partition's events", func() bool { n, _ := st.count(); return n == 30 })
	if st.next(topic, 0) != 10 {
		t.Errorf("the store was moved on: %v", st)
	}
	st.admit(topic, 0, 60)
	eventually(t, "the 40 that are left", func() bool { n, _ := st.count(); return n == 70 })
	p.recovers(topic)
	p.stop()
	if st.next(topic, 0) != 100 || st.absent(topic, 0) != 50 {
		t.Errorf("at %d with %d absent, want 100 with 50", st.next(topic, 0), st.absent(topic, 0))
	}
}

// While the role runs the broker itself refuses the offset.
func TestRecordsDeletedUnderARunningRole(t *testing.T) {
	t.Parallel()
	b, st := fakeBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })

	open := b.holdFetches()
	b.produce(topic, 0, events(10, 100)...)
	b.deleteBefore(topic, 0, 60)
	open()
	p.stopsFor(topic, 0, "begins at 60")
	st.admit(topic, 0, 60)
	eventually(t, "the 40 that are left", func() bool { n, _ := st.count(); return n == 50 })
	p.recovers(topic)
}

// An operator may pass what can be read, too, of a partition that is not stopped.
func TestAnAdmissionMovesAPartitionThatIsNotStopped(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	st.admit(topic, 0, 4) // back: its records are read again
	eventually(t, "the end", func() bool { return st.next(topic, 0) == 10 })
	if _, rejected := st.count(); st.duplicate != 6 || rejected != 0 {
		t.Errorf("%d duplicates, want 6: %v", st.duplicate, st)
	}
	b.produce(topic, 0, events(10, 20)...)
	eventually(t, "20 events", func() bool { n, _ := st.count(); return n == 20 })
	p.recovers(topic)
}

// A log that was cut is remembered: it may grow again, and a restart must not forget.
func TestALogThatWasCutAndHasRegrownStaysStopped(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ to, stored int64 }{"read again from the cut": {10, 30}, "go on where it stood": {25, 15}} {
		t.Run(name, func(t *testing.T) {
			b, st := newBroker(t), newFakeStore(t)
			topic, group := b.topic(unique("orders"), 1), unique("group")
			b.produce(topic, 0, events(0, 10)...)
			id := b.topicID(topic)
			st.admitted[topic] = id
			st.offsets[store.Partition{TopicID: id, Topic: topic}] = &fakeOffset{next: 25, epoch: -1}
			first := start(t, b, st, []string{topic}, inGroup(group))
			first.stopsFor(topic, 0, "offset 25 is to be stored next, but Kafka's log was cut off and went to 10")
			eventually(t, "the store to remember it", func() bool { return st.cutAt(topic, 0) == 10 })
			first.stop()
			b.produce(topic, 0, events(10, 40)...)
			p := start(t, b, st, []string{topic}, inGroup(group))
			p.stopsFor(topic, 0, fmt.Sprintf("'audittrail topics admit %s --partition 0 --from 10 --reason", topic))
			if n, _ := st.count(); n != 0 {
				t.Errorf("%d events of a log that was cut were stored", n)
			}
			st.admit(topic, 0, c.to)
			eventually(t, "the rest", func() bool { return st.next(topic, 0) == 40 })
			if n, _ := st.count(); int64(n) != c.stored {
				t.Errorf("%d events, want %d", n, c.stored)
			}
			p.recovers(topic)
		})
	}
}

// A log that is cut under a running role, while nobody writes: nothing is fetched that could tell.
func TestAQuietLogThatIsCutIsSeen(t *testing.T) {
	t.Parallel()
	b, st := fakeBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	b.answerEnds(6)
	p.stopsFor(topic, 0, "went to 6")
	eventually(t, "the store to remember it", func() bool { return st.cutAt(topic, 0) == 6 })
}

// Another process saw the log while it was short, and remembered it: this one stops, too.
func TestACutThatAnotherProcessSawStopsThePartition(t *testing.T) {
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 10)...)
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "10 events", func() bool { n, _ := st.count(); return n == 10 })
	st.set(func() {
		for _, o := range st.offsets {
			o.cut = new(int64(4))
		}
	})
	p.stopsFor(topic, 0, "went to 4")
	st.admit(topic, 0, 10)
	p.recovers(topic)
	b.produce(topic, 0, events(10, 20)...)
	eventually(t, "20 events", func() bool { n, _ := st.count(); return n == 20 })
}

// answerEnds has the fake broker say that every log ends at an offset.
func (b *broker) answerEnds(end int64) {
	b.fake.ControlKey(int16(kmsg.ListOffsets), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.fake.KeepControl()
		req := r.(*kmsg.ListOffsetsRequest)
		resp := req.ResponseKind().(*kmsg.ListOffsetsResponse)
		for _, rt := range req.Topics {
			t := kmsg.NewListOffsetsResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewListOffsetsResponseTopicPartition()
				p.Partition, p.Offset = rp.Partition, end
				if rp.Timestamp == -2 {
					p.Offset = 0
				}
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
}

// The leader epoch of the last record is stored, and asked about: an unclean election that regrew past
// our offset is seen, though the offset is in range.
func TestALogThatWasWrittenAnewBehindTheStoredEpochStopsThePartition(t *testing.T) {
	t.Parallel()
	b, st := fakeBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 1), unique("group")
	b.produce(topic, 0, events(0, 50)...)
	first := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "50 events", func() bool { n, _ := st.count(); return n == 50 })
	first.stop()
	for _, o := range st.offsets {
		if o.epoch < 0 {
			t.Fatal("no leader epoch was stored")
		}
	}
	b.produce(topic, 0, events(50, 60)...)
	b.fake.ControlKey(int16(kmsg.OffsetForLeaderEpoch), func(r kmsg.Request) (kmsg.Response, error, bool) {
		b.fake.KeepControl()
		req := r.(*kmsg.OffsetForLeaderEpochRequest)
		resp := req.ResponseKind().(*kmsg.OffsetForLeaderEpochResponse)
		for _, rt := range req.Topics {
			t := kmsg.NewOffsetForLeaderEpochResponseTopic()
			t.Topic = rt.Topic
			for _, rp := range rt.Partitions {
				p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
				p.Partition, p.LeaderEpoch, p.EndOffset = rp.Partition, rp.LeaderEpoch, 30
				t.Partitions = append(t.Partitions, p)
			}
			resp.Topics = append(resp.Topics, t)
		}
		return resp, nil, true
	})
	p := start(t, b, st, []string{topic}, inGroup(group))
	// The client either says that data were lost, or goes back and hands out what is there now.
	p.stopsFor(topic, 0, "cut off and went to 30")
	eventually(t, "the store to remember it", func() bool { return st.cutAt(topic, 0) == 30 })
}
