package ingest

import (
	"strings"
	"testing"
)

func TestSubscriptionTakesNamesAndPatterns(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	prefix := unique("shop")
	orders, stock, other := b.topic(prefix+".orders", 1), b.topic(prefix+".stock", 1), b.topic(unique("other.x"), 1)
	dead, lookalike := b.topic(prefix+".orders.dlq", 1), b.topic(other+"2", 1)
	internal := b.topic("__"+prefix, 1)
	for i, topic := range []string{orders, stock, other, dead, lookalike, internal} {
		b.produce(topic, 0, events(i*10, i*10+10)...)
	}
	p := start(t, b, st, []string{"^_*" + prefix, other}, setup{})
	eventually(t, "three topics", func() bool { n, _ := st.count(); return n == 30 })
	late := b.topic(prefix+".late", 1)
	b.produce(late, 0, events(100, 110)...)
	eventually(t, "a topic that came later", func() bool { n, _ := st.count(); return n == 40 })
	p.stop()
	for _, topic := range []string{dead, lookalike, internal} {
		if st.next(topic, 0) != -1 {
			t.Errorf("%s was read", topic)
		}
	}
}

func TestSubscriptionRefuses(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		topics []string
		says   string
	}{
		{"nothing", nil, "at least one topic"},
		{"a dead-letter topic", []string{"orders", "orders.dlq"}, `"orders.dlq": it is a dead-letter topic`},
		{"an internal topic", []string{"__consumer_offsets"}, "internal topic"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := CheckTopics(c.topics, ".dlq")
			if err == nil || !strings.Contains(err.Error(), "kafka.topics") || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want one on kafka.topics that says %q", err, c.says)
			}
			if _, err := subscription(c.topics, ".dlq"); err == nil {
				t.Error("the role would take it")
			}
		})
	}
}
