package ingest

import "testing"

func TestEventsAreStoredInOrderAndOnce(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 3)
	for partition := range int32(3) {
		b.produce(topic, partition, events(int(partition)*1000, int(partition)*1000+1000)...)
	}
	p := start(t, b, st, []string{topic}, setup{})
	<-p.ready
	eventually(t, "3000 events", func() bool { n, _ := st.count(); return n == 3000 })
	b.produce(topic, 1, events(3000, 3001)...)
	eventually(t, "one more", func() bool { n, _ := st.count(); return n == 3001 })
	p.stop()
	for partition, want := range []int64{1000, 1001, 1000} {
		if got := st.next(topic, int32(partition)); got != want {
			t.Errorf("partition %d is at offset %d, want %d", partition, got, want)
		}
	}
}
