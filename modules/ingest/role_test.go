package ingest

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/platform/lifecycle"
	"audittrail/platform/lifecycle/lifecycletest"
)

func TestStress(t *testing.T) {
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 3), unique("group")
	b.produce(topic, 0, events(0, 500)...)
	b.produce(topic, 1, append(events(500, 1000), "{bad")...)
	b.client.Close() // its requests would begin goroutines in the fake broker, which are no leaks
	lifecycletest.Stress(t, func() lifecycle.Role {
		role, _ := newRole(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) {
			d.Kafka.Group, d.Log, d.Outbox = group, nil, newFakeOutbox()
		}})
		return role
	})
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}

func TestHealthTellsWhatIsAway(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	p := start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) {
		d.Ping = func(context.Context) error { return errAway }
	}})
	eventually(t, "health to tell of PostgreSQL", func() bool {
		err := p.role.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), "PostgreSQL does not answer: "+errAway.Error())
	})
	select {
	case <-p.ready:
		t.Error("ready while PostgreSQL is away")
	default:
	}
	p.stop()
	if err := p.role.Health(context.Background()); err == nil || !strings.Contains(err.Error(), "not running") {
		t.Errorf("health after the end: %v", err)
	}
}

func TestHealthTellsThatKafkaIsAway(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	b.addrs = []string{"127.0.0.1:1"}
	p := start(t, b, st, []string{"orders"}, setup{})
	eventually(t, "health to tell of Kafka", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		err := p.role.Health(ctx)
		return err != nil && strings.Contains(err.Error(), "Kafka does not answer")
	})
	p.stop()
}

func TestOptionsNameTheirKeys(t *testing.T) {
	t.Parallel()
	for key, spoil := range map[string]func(*Options){
		"start":               func(o *Options) { o.Start = "latest" },
		"dlq_suffix":          func(o *Options) { o.DLQSuffix = "" },
		"max_batch_events":    func(o *Options) { o.MaxBatchEvents = 16385 },
		"max_batch_bytes":     func(o *Options) { o.MaxBatchBytes = 0 },
		"max_record_bytes":    func(o *Options) { o.MaxRecordBytes = 1 << 30 },
		"max_depth":           func(o *Options) { o.MaxDepth = 0 },
		"max_future":          func(o *Options) { o.MaxFuture = -1 },
		"max_fetch_bytes":     func(o *Options) { o.MaxFetchBytes = 0 },
		"max_in_flight_bytes": func(o *Options) { o.MaxInFlightBytes = 0 },
		"linger":              func(o *Options) { o.Linger = time.Second },
		"workers":             func(o *Options) { o.Workers = 0 },
		"drain_timeout":       func(o *Options) { o.DrainTimeout = 0 },
	} {
		o := testOptions()
		spoil(&o)
		if err := o.Validate(); err == nil || !strings.HasPrefix(err.Error(), key+" must") {
			t.Errorf("%s: %v", key, err)
		}
	}
}

func TestHealthTellsThatTheGroupIsClosed(t *testing.T) {
	t.Parallel()
	b, st := fakeBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	fault := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.JoinGroup}, Err: kerr.GroupAuthorizationFailed, TopLevel: true, Count: -1})
	p := start(t, b, st, []string{topic}, setup{})
	eventually(t, "health to tell of the group", func() bool {
		err := p.role.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), troubleGroup)
	})
	fault.Remove()
	eventually(t, "health to recover", func() bool { return p.role.Health(context.Background()) == nil })
}

func TestATopicThatCanNotBeFetchedIsTriedAgain(t *testing.T) {
	t.Parallel()
	b, st := fakeBroker(t), newFakeStore(t)
	closed, open := b.topic(unique("closed"), 1), b.topic(unique("open"), 1)
	b.produce(closed, 0, events(0, 10)...)
	b.produce(open, 0, events(10, 20)...)
	fault := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: closed, Err: kerr.TopicAuthorizationFailed, Count: -1})
	p := start(t, b, st, []string{closed, open}, setup{})
	eventually(t, "the open topic", func() bool { n, _ := st.count(); return n == 10 })
	eventually(t, "health to name the other", func() bool {
		err := p.role.Health(context.Background())
		return err != nil && strings.Contains(err.Error(), closed)
	})
	hits := fault.Hits()
	pass(time.Second)
	if more := fault.Hits() - hits; more > 5 {
		t.Errorf("%d fetches in a second of a topic that refuses them", more)
	}
	fault.Remove()
	eventually(t, "both topics", func() bool { n, _ := st.count(); return n == 20 })
	eventually(t, "health to recover", func() bool { return p.role.Health(context.Background()) == nil })
}
