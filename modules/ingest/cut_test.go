package ingest

import (
	"testing"

	"audittrail/modules/migrate/migratetest"
	"audittrail/modules/store"
	"audittrail/platform/kafkatest"
)

// A broker's disk is put back to a snapshot: its log is shorter under the same leader epoch, and grows again behind
// what is stored. Ingest that saw the log while it was short must not go on in the middle of it after a restart.
func TestADiskThatWasPutBackStopsItsPartitions(t *testing.T) {
	t.Parallel()
	kafka := kafkatest.Start(t)
	b, st := connect(t, kafka.Brokers), newRealStore(t, migratetest.Database(t))
	topic, group := b.topic(unique("orders"), 1), unique("group")
	b.produce(topic, 0, events(0, 10)...)
	kafka.Stop()
	restore := kafka.Snapshot()
	kafka.Start()
	b.produce(topic, 0, events(10, 30)...)
	p := start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "30 events", func() bool { return st.events() == 30 })

	kafka.Stop()
	restore()
	kafka.Start()
	p.stopsFor(topic, 0, "offset 30 is to be stored next, but Kafka's log was cut off and went to 10")
	eventually(t, "the store to remember it", func() bool { return st.count(`SELECT cut_end FROM ingest_offsets`) == 10 })
	p.stop()
	b.produce(topic, 0, events(100, 150)...) // offsets 10 to 59

	q := start(t, b, st, []string{topic}, inGroup(group))
	q.stopsFor(topic, 0, "--partition 0 --from 10")
	pass(pollWait)
	if n := st.events(); n != 30 {
		t.Errorf("%d events are stored of a log that was cut, want 30", n)
	}
	st.admit(topic, 10)
	eventually(t, "the new records", func() bool { return st.events() == 80 })
	q.recovers(topic)
	q.stop()
	st.balanced()
}

// admit has partition 0 of a topic go on at an offset.
func (s *realStore) admit(topic string, to int64) {
	s.t.Helper()
	var id [16]byte
	if err := s.owner.QueryRow(s.t.Context(), `SELECT topic_id FROM ingest_topics WHERE topic = $1`, topic).Scan(&id); err != nil {
		s.t.Fatal(err)
	}
	_, err := s.Admit(s.t.Context(), store.Admission{Partition: store.Partition{TopicID: id, Topic: topic}, To: to, Reason: "the disk was put back", By: "test"})
	if err != nil {
		s.t.Fatal(err)
	}
}
