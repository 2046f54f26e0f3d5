package ingest

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/modules/event"
	"audittrail/platform/kafka"
)

// pipeline is the stages of one session in the group, and what they share.
type pipeline struct {
	options Options
	sealer  sealer
	now     func() time.Time
	log     *slog.Logger
	tracing *tracing
	status  *status
	leases  *leases

	consumer *kgo.Client     // member of the group; polled by the poller alone
	unpacker *kafka.Unpacker // of the consumer
	control  *kgo.Client     // for questions, which must not wait behind fetches

	locator    *locator
	stops      *stops
	dispatcher *dispatcher
	strangers  *strangers
	inbox      *inbox

	again func(why string) // ends this session of the group and begins another
}

// dispatcher hands chunks on from the poller.
type dispatcher struct {
	budget   *budget
	seals    bool
	inFlight prometheus.Gauge
	decode   chan *chunk
	workers  []*worker
}

// dispatch hands a chunk to the decoders, and to its worker, which waits for them. It blocks while the
// budget is spent: that is how ingest pauses when PostgreSQL is away. The client fetches no more once
// its own buffers are full, and goes on with its heartbeats.
func (d *dispatcher) dispatch(ctx context.Context, c *chunk) error {
	taken, err := d.budget.take(ctx, c.cost(d.seals))
	if err != nil {
		return err
	}
	c.taken = taken
	d.inFlight.Set(float64(d.budget.used()))
	if c.lease.ended.Load() {
		d.budget.give(taken)
		return nil
	}
	if c.records != nil {
		select {
		case d.decode <- c:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	select {
	case d.workers[c.lease.worker].queue <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// decodeChunks decodes until the channel is closed. While the keys to seal with are out of reach it waits:
// nothing may be stored that should have been sealed.
func (p *pipeline) decodeChunks(ctx context.Context, rules event.Rules) {
	for c := range p.dispatcher.decode {
		c.spans = p.tracing.begin(c.records)
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

// leftOut are topics of which partitions are assigned, and that the cluster did not know then.
type leftOut struct {
	mu     sync.Mutex
	topics map[string]bool
}

func (l *leftOut) add(topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.topics[topic] = true
}

func (l *leftOut) has(topic string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.topics[topic]
}
