package ingest

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/store"
	"audittrail/platform/lifecycle"
)

// Outbox is the queue of dead letters that have still to be published; see store.Outbox.
type Outbox interface {
	Next(ctx context.Context, after int64, skip []string, limit int) ([]store.DeadLetter, error)
	Published(ctx context.Context, ids []int64) error
	Pending(ctx context.Context) (store.PendingLetters, error)

	// Lead makes the caller the one publisher, if there is none.
	Lead(ctx context.Context) (Lead, bool, error)
}

// Lead is the right to publish. Check fails once it may be somebody else's; Close MUST be called.
type Lead interface {
	Check(ctx context.Context) error
	Close(ctx context.Context)
}

const (
	outboxPage   = 64               // dead letters of one read; the store bounds their bytes too
	outboxEvery  = time.Second      // between looks into an outbox that was empty
	outboxRest   = 30 * time.Second // of a topic that could not be published to
	pendingEvery = 15 * time.Second // between counts of the pending dead letters
)

// publisher publishes dead letters to their topics, at least once. Of all processes one does so at a
// time: the one that leads. Whatever fails here stops nothing else, and one topic's failure does not hold
// up another's.
type publisher struct {
	outbox    Outbox
	client    *kgo.Client
	suffix    string
	create    bool
	now       func() time.Time
	log       *slog.Logger
	metrics   *metrics
	exists    map[string]bool      // source topics, whose dead-letter topics are known to exist
	ids       map[string][16]byte  // source topics, ids that their dead-letter topics had last
	resting   map[string]time.Time // source topics, until when
	givenUp   map[string]bool      // source topics that can have no dead-letter topic
	refused   map[string]error     // source topics of which a letter was refused in this sweep
	countedAt time.Time
	failures  int // since dead letters were last published
}

func newPublisher(r *Role, client *kgo.Client) *publisher {
	return &publisher{
		outbox: r.deps.Outbox, client: client, suffix: r.options.DLQSuffix, create: r.options.DLQCreate,
		now: r.deps.Now, log: r.deps.Log, metrics: r.metrics,
		exists: map[string]bool{}, ids: map[string][16]byte{}, resting: map[string]time.Time{}, refused: map[string]error{}, givenUp: map[string]bool{},
	}
}

func (p *publisher) run(ctx context.Context) {
	lifecycle.Elect(ctx, outboxEvery, func(ctx context.Context) lifecycle.Term {
		lead, ok, err := p.outbox.Lead(ctx)
		if err != nil {
			p.failed(ctx, err)
		}
		if err != nil || !ok {
			return nil
		}
		return &publishing{publisher: p, lead: lead}
	})
}

// publishing is the publisher's time in the lead; see lifecycle.Term.
type publishing struct {
	*publisher
	lead Lead
}

func (t *publishing) Round(ctx context.Context) bool {
	err := t.lead.Check(ctx)
	if err == nil {
		err = t.count(ctx)
	}
	if err == nil {
		err = t.sweep(ctx, t.lead)
	}
	if err != nil {
		t.failed(ctx, err)
		return false
	}
	t.failures = 0
	return true
}

func (t *publishing) Close(ctx context.Context) {
	t.handOver()
	t.lead.Close(ctx)
}

// failed logs what keeps dead letters from being published, now and then.
func (p *publisher) failed(ctx context.Context, err error) {
	if ctx.Err() == nil && p.failures%10 == 0 {
		p.log.Warn("dead letters can't be published; trying again", "error", err)
	}
	p.failures++
}

// count keeps the metric of pending dead letters. Only the leader does: the sum over processes is right.
func (p *publisher) count(ctx context.Context) error {
	if p.now().Sub(p.countedAt) < pendingEvery {
		return nil
	}
	pending, err := p.outbox.Pending(ctx)
	if err != nil {
		return err
	}
	p.countedAt = p.now()
	p.metrics.setPending(pending, p.now())
	return nil
}

// sweep publishes all there is, but for topics that rest. A topic that refuses one letter gets all the
// others first, and rests then.
func (p *publisher) sweep(ctx context.Context, lead Lead) error {
	defer func() {
		for topic, err := range p.refused {
			p.rest(topic, err)
		}
		clear(p.refused)
	}()
	for after := int64(0); ctx.Err() == nil; {
		letters, err := p.outbox.Next(ctx, after, p.skip(), outboxPage)
		if err != nil || len(letters) == 0 {
			return err
		}
		after = letters[len(letters)-1].ID
		if err := lead.Check(ctx); err != nil { // it ends where it is idle for long
			return err
		}
		if acked := p.publish(ctx, letters); len(acked) > 0 {
			if err := p.outbox.Published(ctx, acked); err != nil {
				return err
			}
		}
	}
	return nil
}

// skip are the source topics that rest, and those that were given up. The former are tried again
// when they have rested enough.
func (p *publisher) skip() []string {
	topics := slices.Collect(maps.Keys(p.givenUp))
	for topic, until := range p.resting {
		if p.now().Before(until) {
			topics = append(topics, topic)
		} else {
			delete(p.resting, topic)
		}
	}
	return topics
}

// rest leaves a topic alone for a while.
func (p *publisher) rest(topic string, err error) {
	if _, ok := p.resting[topic]; ok || p.givenUp[topic] {
		return
	}
	p.resting[topic] = p.now().Add(outboxRest)
	p.log.Warn("dead letters wait for their topic; they are kept, and ingest goes on",
		"topic", topic, "deadLetterTopic", topic+p.suffix, "nextTryIn", outboxRest, "error", err)
}

// giveUp leaves a topic alone for as long as this process leads: only another configuration helps it.
func (p *publisher) giveUp(topic string, err error) {
	if p.givenUp[topic] {
		return
	}
	p.givenUp[topic] = true
	p.log.Error("dead letters can't be published; they are kept in the event store, and ingest goes on", "topic", topic, "error", err)
}

// handOver forgets what was given up: it is another leader's to say now.
func (p *publisher) handOver() {
	clear(p.givenUp)
	p.countedAt = time.Time{}
	p.metrics.setPending(store.PendingLetters{}, p.now()) // and counting the dead letters is theirs, too
}
