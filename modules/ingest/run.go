package ingest

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"audittrail/platform/kafka"
)

func (r *Role) newPipeline(control *kgo.Client, badge *badge, end func(error)) *pipeline {
	p := &pipeline{
		options: r.options, named: r.named, store: r.deps.Store, sealer: r.deps.Sealer, now: r.deps.Now, log: r.deps.Log,
		metrics: r.metrics, status: r.status, control: control, tracing: newTracing(r.deps.Tracing, r.deps.Kafka.Group),
		leases:   newLeases(r.options.Workers),
		unpacker: kafka.NewUnpacker(unpackedBytes),
		budget:   newBudget(r.options.MaxInFlightBytes),
		decode:   make(chan *chunk, 2*runtime.GOMAXPROCS(0)),
		inbox:    newInbox(r.deps.Now),
		leftOut:  &leftOut{topics: map[string]bool{}},
		again:    func(why string) { end(&renewal{why}) },
	}
	p.strangers = newStrangers(r.deps.Kafka.Group, badge, p)
	for n := range r.options.Workers {
		p.workers = append(p.workers, &worker{
			options: p.options, store: p.store, now: p.now, log: p.log.With("worker", n), metrics: p.metrics, tracing: p.tracing,
			status: p.status, leases: p.leases, budget: p.budget, inbox: p.inbox, fail: func(err error) { end(&failure{err}) },
			number: n, queue: make(chan *chunk, queueChunks), timeout: cmp.Or(r.deps.appendTimeout, appendTimeout),
		})
	}
	return p
}

// run runs the stages until ctx ends, and then puts them down in the order of the records' flow.
func (p *pipeline) run(ctx context.Context, ready func(), r *Role) {
	var decoders, workers, aside sync.WaitGroup
	// Appends outlive ctx by the drain timeout: what is buffered then is stored, not read again.
	appending, stopAppending := context.WithCancel(context.WithoutCancel(ctx))
	defer stopAppending()
	for range runtime.GOMAXPROCS(0) {
		decoders.Go(func() { p.decodeChunks(appending, p.options.Rules()) })
	}
	for _, w := range p.workers {
		workers.Go(func() { w.run(appending) })
	}
	aside.Go(func() { p.watch(ctx, cmp.Or(r.deps.watchEvery, watchEvery)) })
	aside.Go(func() { r.announce(ctx, p.control, ready) })
	if r.deps.Outbox != nil {
		aside.Go(func() { newPublisher(r, p.control).run(ctx) })
	}
	aside.Go(func() {
		select {
		case <-ctx.Done():
			sleep(appending, p.options.DrainTimeout)
			stopAppending()
		case <-appending.Done():
		}
	})

	(&poller{
		pipeline: p, resting: map[kafka.TopicPartition]time.Time{}, stale: map[kafka.TopicPartition]time.Time{},
	}).run(ctx, appending)

	close(p.decode)
	decoders.Wait()
	for _, w := range p.workers {
		close(w.queue)
	}
	workers.Wait()
	stopAppending()
	aside.Wait()
}

// leaveTimeout is how long telling the group may take.
const leaveTimeout = 2 * time.Second

// leave tells the group how far it got, and gives the partitions up. A static member stays in the
// group, so that its restart moves nothing.
func (p *pipeline) leave(stopConsuming func()) {
	ctx, cancel := context.WithTimeout(context.Background(), leaveTimeout)
	defer cancel()
	p.commit(ctx, map[*lease]int64{})
	p.consumer.AllowRebalance()
	if err := p.consumer.LeaveGroupContext(ctx); err != nil {
		p.log.Warn("could not leave the consumer group; others wait for the session timeout", "error", err)
		stopConsuming()
	}
	p.consumer.CloseAllowingRebalance()
}

// announce says that the role can work, once Kafka and PostgreSQL have answered.
func (r *Role) announce(ctx context.Context, control *kgo.Client, ready func()) {
	for try := 0; ; try++ {
		asking, cancel := context.WithTimeout(ctx, askTimeout)
		err := control.Ping(asking)
		if err == nil && r.deps.Ping != nil {
			err = r.deps.Ping(asking)
		}
		cancel()
		if err == nil {
			ready()
			return
		}
		if try%10 == 0 && ctx.Err() == nil {
			r.deps.Log.Warn("waiting for Kafka and PostgreSQL", "error", err)
		}
		if !sleep(ctx, backoff(try)) {
			return
		}
	}
}
