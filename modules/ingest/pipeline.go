package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

// pipeline is what the stages of one Run share.
type pipeline struct {
	options Options
	named   []string // topics of the configuration that are no patterns
	store   Store
	sealer  sealer
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	status  *status
	leases  *leases
	budget  *budget

	consumer *kgo.Client     // member of the group; polled by the poller alone
	unpacker *kafka.Unpacker // of the consumer
	control  *kgo.Client     // for questions, which must not wait behind fetches

	workers []*worker
	decode  chan *chunk

	fail func(error) // ends Run with an error

	mu     sync.Mutex
	orders []order
	wake   context.CancelFunc // ends the poll that is under way; nil where there is none
}

// order is something that only the poller may do, between two polls. One of its parts is set.
type order struct {
	reposition *lease // go on at an offset, under a new lease
	seek       *lease // fetch from an offset on, under the same lease
	at         int64  // the offset; negative: the database has no row of the partition
	try        int    // how often the database has been asked for the offset in vain
	notBefore  time.Time

	gap *chunk // append it

	resume kafka.TopicPartition // fetch it and its topic again, if they were paused

	stopTopic string
	why       string
}

func (o order) due(now time.Time) bool { return !o.notBefore.After(now) }

// request has the poller do something soon.
func (p *pipeline) request(o order) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.orders = append(p.orders, o)
	if p.wake != nil {
		p.wake()
	}
}

// takeOrders are the orders that are due.
func (p *pipeline) takeOrders() []order {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	var due, later []order
	for _, o := range p.orders {
		if o.due(now) {
			due = append(due, o)
		} else {
			later = append(later, o)
		}
	}
	p.orders = later
	return due
}

// dispatch hands a chunk to the decoders, and to its worker, which waits for them. It blocks while the
// budget is spent: that is how ingest pauses when PostgreSQL is away. The client fetches no more once
// its own buffers are full, and goes on with its heartbeats.
func (p *pipeline) dispatch(ctx context.Context, c *chunk) error {
	taken, err := p.budget.take(ctx, c.cost())
	if err != nil {
		return err
	}
	c.taken = taken
	p.metrics.inFlight.Set(float64(p.budget.used()))
	if c.lease.ended.Load() {
		p.budget.give(taken)
		return nil
	}
	if c.records != nil {
		select {
		case p.decode <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case p.workers[c.lease.worker].queue <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decodeChunks decodes until the channel is closed. While the keys to seal with are out of reach it waits:
// nothing may be stored that should have been sealed.
func (p *pipeline) decodeChunks(ctx context.Context, rules event.Rules) {
	for c := range p.decode {
		for try := 0; ; try++ {
			err := c.decode(ctx, rules, p.now(), p.sealer)
			p.status.has(troubleKeys, err)
			if err == nil {
				break
			}
			if try%10 == 0 {
				p.log.Error("events can't be sealed; waiting", "try", try+1, "error", err)
			}
			if !sleep(ctx, backoff(try)) {
				return // the chunk is not appended, and read again later
			}
		}
	}
}
