package ingest

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/store"
)

// Processes come and go while records flow: nothing is lost, and nothing appended twice.
func TestPartitionsMoveBetweenProcesses(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 6), unique("group")
	st.hook = func(ctx context.Context, _ store.Batch) error { // an append takes its time
		sleep(ctx, 5*time.Millisecond)
		return nil
	}
	stop := make(chan struct{})
	var produced atomic.Int64
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n += 50 {
			select {
			case <-stop:
				return
			default:
			}
			b.produce(topic, int32(n/50)%6, events(n, n+50)...)
			produced.Store(int64(n + 50))
		}
	})
	running := []*process{start(t, b, st, []string{topic}, inGroup(group))}
	for range 3 {
		had, _ := st.count()
		running = append(running, start(t, b, st, []string{topic}, inGroup(group)))
		eventually(t, "records to flow", func() bool { n, _ := st.count(); return n > had+500 })
		running[0].stop()
		running = running[1:]
		had, _ = st.count()
		eventually(t, "records to flow", func() bool { n, _ := st.count(); return n > had+500 })
	}
	close(stop)
	wg.Wait()
	eventually(t, "all records", func() bool { n, _ := st.count(); return int64(n) == produced.Load() })
	st.set(func() {
		for p, o := range st.offsets {
			if o.records != o.next {
				t.Errorf("%s/%d: %d records for %d offsets", p.Topic, p.Number, o.records, o.next)
			}
		}
	})
}

// A process is cut off from Kafka in the middle of its work, as by SIGKILL or a partition of the
// network: another has its partitions within 15 s, and the first can do no harm.
func TestAProcessThatIsCutOffIsReplacedWithin15Seconds(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 2), unique("group")
	wire := &cuttable{}
	zombie := start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) {
		d.Kafka.Group, d.Kafka.SessionTimeout = group, 9*time.Second
		d.clientOptions = []kgo.Opt{kgo.Dialer(wire.dial)}
	}})
	b.produce(topic, 0, events(0, 100)...)
	eventually(t, "100 events", func() bool { n, _ := st.count(); return n == 100 })
	start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) {
		d.Kafka.Group, d.Kafka.SessionTimeout = group, 9*time.Second
	}})
	eventually(t, "two members", func() bool { return b.members(group) == 2 })
	wire.cut()
	cut := time.Now()
	b.produce(topic, 0, events(100, 200)...)
	b.produce(topic, 1, events(200, 300)...)
	eventually(t, "300 events", func() bool { n, _ := st.count(); return n == 300 })
	if took := time.Since(cut); took > 15*time.Second {
		t.Errorf("took %v, at most 15 s", took)
	} else {
		t.Logf("took %v", took)
	}
	zombie.cancel()
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}

// An append that is in flight when its partitions are revoked may finish; what waits behind it is left
// to the next owner.
func TestRevokeWaitsForAnAppendInFlight(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 1), unique("group")
	begun, finish := make(chan struct{}), make(chan struct{})
	var once sync.Once
	st.hook = func(context.Context, store.Batch) error {
		first := false
		once.Do(func() { first = true })
		if first {
			close(begun)
			<-finish
		}
		return nil
	}
	b.produce(topic, 0, events(0, 100)...)
	p := start(t, b, st, []string{topic}, inGroup(group))
	<-begun
	b.produce(topic, 0, events(100, 200)...)
	p.cancel()
	close(finish)
	if err := p.wait(); err != nil {
		t.Fatal(err)
	}
	if next := st.next(topic, 0); next < 100 {
		t.Errorf("the append in flight was dropped: at %d", next)
	}
	start(t, b, st, []string{topic}, inGroup(group))
	eventually(t, "200 events", func() bool { n, _ := st.count(); return n == 200 })
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}

// A store that hangs does not keep the process from ending.
func TestStoppingIsBounded(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 100)...)
	begun := make(chan struct{}, 100)
	st.hook = func(ctx context.Context, _ store.Batch) error {
		begun <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}
	p := start(t, b, st, []string{topic}, setup{options: func(o *Options) { o.DrainTimeout = 500 * time.Millisecond }})
	<-begun
	p.cancel()
	before := time.Now()
	if err := p.wait(); err != nil {
		t.Error(err)
	}
	if took := time.Since(before); took > 5*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

func TestStoppingAppendsWhatIsBuffered(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	p := start(t, b, st, []string{topic}, setup{options: func(o *Options) { o.Linger = maxLinger }})
	b.produce(topic, 0, events(0, 1)...)
	eventually(t, "the first", func() bool { n, _ := st.count(); return n == 1 })
	b.produce(topic, 0, events(1, 2)...)
	eventually(t, "the second to be read", func() bool {
		n, _ := st.count()
		return n == 2 || value(t, p.reg, "audittrail_ingest_in_flight_bytes") > 0
	})
	p.stop()
	if n, _ := st.count(); n != 2 {
		t.Errorf("%d events, want 2", n)
	}
}

// cuttable is a network that can be cut.
type cuttable struct {
	mu    sync.Mutex
	gone  bool
	conns []net.Conn
}

func (c *cuttable) dial(ctx context.Context, network, address string) (net.Conn, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gone {
		return nil, net.ErrClosed
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err == nil {
		c.conns = append(c.conns, conn)
	}
	return conn, err
}

func (c *cuttable) cut() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gone = true
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// Without Kafka there is nobody to tell, and the end does not take longer for it.
func TestStoppingIsBoundedWithoutKafka(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	b.produce(topic, 0, events(0, 100)...)
	wire := &cuttable{}
	p := start(t, b, st, []string{topic}, setup{deps: func(d *Dependencies) {
		d.clientOptions = []kgo.Opt{kgo.Dialer(wire.dial)}
	}})
	eventually(t, "100 events", func() bool { n, _ := st.count(); return n == 100 })
	wire.cut()
	before := time.Now()
	p.stop()
	if took := time.Since(before); took > leaveTimeout+2*time.Second {
		t.Errorf("stopping took %v", took)
	}
}

// A static member that was killed and comes back has its partitions before its session would have timed
// out.
func TestAStaticMemberThatWasKilledGoesOnAtOnce(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic, group := b.topic(unique("orders"), 2), unique("group")
	static := func(wire *cuttable) setup {
		return setup{deps: func(d *Dependencies) {
			d.Kafka.Group, d.Kafka.InstanceID, d.Kafka.SessionTimeout = group, "ingest-0", 30*time.Second
			d.clientOptions = []kgo.Opt{kgo.Dialer(wire.dial)}
		}}
	}
	wire := &cuttable{}
	killed := start(t, b, st, []string{topic}, static(wire))
	b.produce(topic, 0, events(0, 100)...)
	eventually(t, "100 events", func() bool { n, _ := st.count(); return n == 100 })
	wire.cut()
	killed.cancel()
	b.produce(topic, 1, events(100, 200)...)
	began := time.Now()
	start(t, b, st, []string{topic}, static(&cuttable{}))
	eventually(t, "200 events", func() bool { n, _ := st.count(); return n == 200 })
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("took %v, at most 15 s", took)
	}
	if st.duplicate != 0 {
		t.Errorf("%d records were appended twice", st.duplicate)
	}
}
