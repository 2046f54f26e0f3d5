package ingest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// fakeOutbox is store.Outbox in memory.
type fakeOutbox struct {
	mu        sync.Mutex
	letters   []store.DeadLetter
	published map[int64]int
	led       bool
	lost      bool // Check fails
}

func newFakeOutbox(letters ...store.DeadLetter) *fakeOutbox {
	for i := range letters {
		letters[i].ID = int64(i + 1)
	}
	return &fakeOutbox{letters: letters, published: map[int64]int{}}
}

func (o *fakeOutbox) Next(_ context.Context, after int64, skip []string, limit int) ([]store.DeadLetter, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	var page []store.DeadLetter
	for _, l := range o.letters {
		if l.ID > after && o.published[l.ID] == 0 && !slices.Contains(skip, l.Raw.Topic) && len(page) < limit {
			page = append(page, l)
		}
	}
	return page, nil
}

func (o *fakeOutbox) Published(_ context.Context, ids []int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		o.published[id]++
	}
	return nil
}

func (o *fakeOutbox) Pending(context.Context) (store.PendingLetters, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return store.PendingLetters{Reasons: map[string]int64{"malformed_json": int64(len(o.letters))}}, nil
}

func (o *fakeOutbox) Lead(context.Context) (Lead, bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.led {
		return nil, false, nil
	}
	o.led = true
	return fakeLead{o}, true, nil
}

type fakeLead struct{ o *fakeOutbox }

func (l fakeLead) Check(context.Context) error {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	if l.o.lost {
		return errors.New("the connection is gone")
	}
	return nil
}

func (l fakeLead) Close(context.Context) {
	l.o.mu.Lock()
	defer l.o.mu.Unlock()
	l.o.led = false
}

func (o *fakeOutbox) add(l store.DeadLetter) {
	o.mu.Lock()
	defer o.mu.Unlock()
	l.ID = int64(len(o.letters) + 1)
	o.letters = append(o.letters, l)
}

func (o *fakeOutbox) done() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.published)
}

func letter(topic string, offset int64, value string) store.DeadLetter {
	return store.DeadLetter{
		Raw: event.Raw{
			Coordinates: event.Coordinates{Topic: topic, Partition: 3, Offset: offset},
			Key:         []byte("key-" + strconv.FormatInt(offset, 10)), Value: []byte(value),
			Headers: []event.Header{{Key: "traceparent", Value: []byte("00-x")}, {Key: "audittrail-dead-letter-id", Value: []byte("old")}},
		},
		Reason: event.MalformedJSON, Detail: "at byte 0: what was wrong",
	}
}

func withOutbox(o Outbox) setup {
	return setup{deps: func(d *Dependencies) { d.Outbox = o }}
}

func TestDeadLettersArePublishedAsTheyWere(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	topic := b.topic(unique("orders"), 2)
	o := newFakeOutbox(letter(topic, 7, "{bad"))
	tombstone := letter(topic, 8, "")
	tombstone.Raw.Value, tombstone.Raw.Key = nil, nil
	o.letters = append(o.letters, tombstone)
	o.letters[1].ID = 2
	p := start(t, b, newFakeStore(t), []string{topic}, withOutbox(o))
	eventually(t, "both to be marked", func() bool { return o.done() == 2 })
	if n := value(t, p.reg, "audittrail_dead_letters_pending", "malformed_json"); n != 2 { // they were counted before
		t.Errorf("metric says %v pending, want 2", n)
	}
	p.stop()

	got := b.consume(topic+".dlq", 2)
	slices.SortFunc(got, func(x, y *kgo.Record) int { return len(y.Value) - len(x.Value) })
	if string(got[0].Key) != "key-7" || string(got[0].Value) != "{bad" {
		t.Errorf("key %q, value %q", got[0].Key, got[0].Value)
	}
	if got[1].Key != nil || got[1].Value != nil {
		t.Errorf("a tombstone came out as key %q, value %q", got[1].Key, got[1].Value)
	}
	want := []string{
		"traceparent=00-x", "audittrail-dead-letter-id=1", "audittrail-dead-letter-reason=malformed_json",
		"audittrail-dead-letter-detail=at byte 0: what was wrong", "audittrail-dead-letter-topic=" + topic,
		"audittrail-dead-letter-partition=3", "audittrail-dead-letter-offset=7",
	}
	var headers []string
	for _, h := range got[0].Headers {
		headers = append(headers, h.Key+"="+string(h.Value))
	}
	if !slices.Equal(headers, want) {
		t.Errorf("headers %q, want %q", headers, want)
	}
	topics, err := b.admin.ListTopics(context.Background(), topic+".dlq")
	if err != nil || len(topics[topic+".dlq"].Partitions) != 2 {
		t.Errorf("the topic was not made like its source: %v, %v", topics, err)
	}
	if n := value(t, p.reg, "audittrail_dead_letters_pending"); n != 0 {
		t.Errorf("a process that counts no more says %v pending, want 0", n)
	}
}

func TestWhatIsTooLargeIsPublishedWithoutItsValue(t *testing.T) {
	b := newBroker(t)
	topic := b.topic(unique("orders"), 1)
	large := letter(topic, 7, "the beginning")
	large.ValueLength, large.ValueSHA256 = 125_000_000, bytes.Repeat([]byte{0xab}, 32)
	large.Raw.Oversize = &event.Oversize{Length: large.ValueLength, SHA256: [32]byte(large.ValueSHA256)}
	o := newFakeOutbox(large)
	p := start(t, b, newFakeStore(t), []string{topic}, withOutbox(o))
	eventually(t, "it to be marked", func() bool { return o.done() == 1 })
	p.stop()
	got := b.consume(topic+".dlq", 1)[0]
	if string(got.Key) != "key-7" || got.Value != nil {
		t.Errorf("key %q, value %q", got.Key, got.Value)
	}
	var said []string
	for _, h := range got.Headers {
		said = append(said, h.Key+"="+string(h.Value))
	}
	for _, want := range []string{"audittrail-dead-letter-value-length=125000000", "audittrail-dead-letter-value-sha256=" + strings.Repeat("ab", 32)} {
		if !slices.Contains(said, want) {
			t.Errorf("headers %q lack %q", said, want)
		}
	}
}

func TestAMissingDeadLetterTopicHoldsUpNeitherOthersNorIngest(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	lacking, having := b.topic(unique("lacking"), 1), b.topic(unique("having"), 1)
	b.topic(having+".dlq", 1)
	var letters []store.DeadLetter
	for n := range int64(2 * outboxPage) {
		letters = append(letters, letter(lacking, n, "x"))
	}
	letters = append(letters, letter(having, 0, "y"))
	o := newFakeOutbox(letters...)
	p := start(t, b, st, []string{lacking, having}, setup{
		options: func(o *Options) { o.DLQCreate = false },
		deps:    func(d *Dependencies) { d.Outbox = o },
	})
	b.produce(lacking, 0, events(0, 10)...)
	eventually(t, "the other topic's letter", func() bool { return o.done() == 1 })
	eventually(t, "events", func() bool { n, _ := st.count(); return n == 10 })
	if err := p.role.Health(context.Background()); err != nil {
		t.Errorf("health: %v", err)
	}
	if n := value(t, p.reg, "audittrail_dead_letters_published_total", "failed"); n == 0 {
		t.Error("no metric tells that letters could not be published")
	}
}

// One letter that its topic refuses does not hold up those behind it.
func TestALetterThatIsRefusedIsKept(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	topic := b.topic(unique("orders"), 1)
	small := "2000"
	ctx := context.Background()
	if _, err := b.admin.CreateTopic(ctx, 1, -1, map[string]*string{"max.message.bytes": &small}, topic+".dlq"); err != nil {
		t.Fatal(err)
	}
	b.await(topic+".dlq", 1)
	letters := []store.DeadLetter{letter(topic, 0, incompressible(5000))}
	for n := range int64(3 * outboxPage) {
		letters = append(letters, letter(topic, n+1, "x"))
	}
	o := newFakeOutbox(letters...)
	start(t, b, newFakeStore(t), []string{topic}, withOutbox(o))
	eventually(t, "the others", func() bool { return o.done() >= 3*outboxPage })
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.published[1] != 0 {
		t.Error("the letter that was refused is marked as published")
	}
}

func TestAProduceThatFailsIsNotMarked(t *testing.T) {
	t.Parallel()
	b := fakeBroker(t)
	topic := b.topic(unique("orders"), 1)
	b.topic(topic+".dlq", 1)
	fault := b.fake.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.TopicAuthorizationFailed, Count: -1})
	o := newFakeOutbox(letter(topic, 0, "x"))
	p := start(t, b, newFakeStore(t), []string{topic}, withOutbox(o))
	eventually(t, "a failure", func() bool { return value(t, p.reg, "audittrail_dead_letters_published_total", "failed") > 0 })
	if o.done() != 0 {
		t.Error("marked without an acknowledgement")
	}
	fault.Remove()
}

func TestOneProcessPublishesAtATime(t *testing.T) {
	t.Parallel()
	b, st := newBroker(t), newFakeStore(t)
	topic := b.topic(unique("orders"), 1)
	o := newFakeOutbox(letter(topic, 0, "x"))
	first := start(t, b, st, []string{topic}, withOutbox(o))
	start(t, b, st, []string{topic}, withOutbox(o))
	eventually(t, "the first letter", func() bool { return o.done() == 1 })
	first.stop()
	o.mu.Lock()
	o.letters = append(o.letters, letter(topic, 1, "y"))
	o.letters[1].ID = 2
	o.mu.Unlock()
	eventually(t, "the second letter", func() bool { return o.done() == 2 })
	o.mu.Lock()
	defer o.mu.Unlock()
	for id, n := range o.published {
		if n != 1 {
			t.Errorf("letter %d was published %d times", id, n)
		}
	}
}

// A client goes on with the id of the topic that it knew: the topic that is made again has another.
func TestADeadLetterTopicThatWasDeletedIsMadeAgainAndWrittenTo(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	topic := b.topic(unique("orders"), 1)
	dead := topic + ".dlq"
	o := newFakeOutbox(letter(topic, 0, "x"))
	start(t, b, newFakeStore(t), []string{topic}, withOutbox(o))
	for n := range 3 {
		eventually(t, "letter "+strconv.Itoa(n), func() bool { return o.done() == n+1 })
		if got := b.consume(dead, 1)[0]; string(got.Key) != "key-"+strconv.Itoa(n) {
			t.Errorf("the topic begins with %s, want key-%d", got.Key, n)
		}
		if _, err := b.admin.DeleteTopic(context.Background(), dead); err != nil {
			t.Fatal(err)
		}
		o.add(letter(topic, int64(n+1), "y"))
	}
}

// Somebody else may be the one who makes it again.
func TestADeadLetterTopicThatSomebodyElseMadeAgainIsWrittenTo(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	topic := b.topic(unique("orders"), 1)
	dead := b.topic(topic+".dlq", 1)
	o := newFakeOutbox(letter(topic, 0, "x"))
	start(t, b, newFakeStore(t), []string{topic}, setup{
		options: func(o *Options) { o.DLQCreate = false },
		deps:    func(d *Dependencies) { d.Outbox = o },
	})
	eventually(t, "the first letter", func() bool { return o.done() == 1 })
	if _, err := b.admin.DeleteTopic(context.Background(), dead); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the topic to be made again", func() bool {
		_, err := b.admin.CreateTopic(context.Background(), 1, -1, nil, dead)
		return err == nil
	})
	o.add(letter(topic, 1, "y"))
	eventually(t, "the second letter", func() bool { return o.done() == 2 })
	if got := b.consume(dead, 1)[0]; string(got.Key) != "key-1" {
		t.Errorf("the topic begins with %s, want key-1", got.Key)
	}
}

// Kafka takes no name of more than 249 characters, and trying again would not change that.
func TestATopicWhoseDeadLetterTopicCanHaveNoName(t *testing.T) {
	t.Parallel()
	b := newBroker(t)
	topic := b.topic(unique("orders"), 1)
	long := b.topic(unique(strings.Repeat("x", 238)), 1)
	if len(long) > 249 || len(long+".dlq") <= 249 {
		t.Fatalf("a name of %d characters shows nothing", len(long))
	}
	o := newFakeOutbox(letter(long, 0, "x"), letter(long, 1, "x"), letter(topic, 0, "y"))
	log, now := &recordedLog{}, &atomic.Int64{}
	p := start(t, b, newFakeStore(t), []string{topic, long}, setup{deps: func(d *Dependencies) {
		d.Outbox, d.Log = o, slog.New(slog.NewTextHandler(log, nil))
		d.Now = func() time.Time { return time.Now().Add(time.Duration(now.Load())) }
	}})
	eventually(t, "the other topic's letter", func() bool { return o.done() == 1 })
	if err := p.role.Health(context.Background()); err != nil {
		t.Errorf("ingest works all the same, but health says: %v", err)
	}
	for n := range 3 {
		now.Add(int64(2 * outboxRest))
		o.add(letter(topic, int64(n+1), "y"))
		eventually(t, "another sweep", func() bool { return o.done() == n+2 })
	}
	if n := log.count("topic=" + long); n != 1 {
		t.Errorf("said %d times, want once:\n%s", n, log)
	}
	p.stop()
}

// consume reads n records of a topic.
func (b *broker) consume(topic string, n int) []*kgo.Record {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addrs...), kgo.ConsumeTopics(topic), kgo.MetadataMinAge(50*time.Millisecond))
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	var records []*kgo.Record
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			b.t.Fatalf("read %s: %v", topic, err)
		}
		records = append(records, fetches.Records()...)
	}
	return records
}

// incompressible is a text that compression does not make small.
func incompressible(n int) string {
	var text strings.Builder
	for text.Len() < n {
		text.WriteString(unique(""))
	}
	return text.String()
}

// recordedLog counts what was logged at Warn and above.
type recordedLog struct {
	mu    sync.Mutex
	lines []string
}

func (l *recordedLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if text := string(line); strings.Contains(text, "level=WARN") || strings.Contains(text, "level=ERROR") {
		l.lines = append(l.lines, text)
	}
	return len(line), nil
}

func (l *recordedLog) count(text string) (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, line := range l.lines {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

func (l *recordedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}
