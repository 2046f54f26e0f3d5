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

// newPipeline makes the stages of a session, all but those that need its consumer.
func (r *Role) newPipeline(control *kgo.Client, badge *badge, end func(error)) *pipeline {
	d := r.deps
	p := &pipeline{
		options: r.options, sealer: d.Sealer, now: d.Now, log: d.Log, status: r.status, control: control,
		tracing:  newTracing(d.Tracing, d.Kafka.Group),
		leases:   newLeases(r.options.Workers),
		unpacker: kafka.NewUnpacker(unpackedBytes),
		inbox:    newInbox(d.Now),
		again:    func(why string) { end(&renewal{why}) },
	}
	p.strangers = &strangers{
		group: d.Kafka.Group, badge: badge, control: control, store: d.Store, leases: p.leases, inbox: p.inbox, status: r.status, log: d.Log, metrics: r.metrics,
		soon: make(chan struct{}, 1), gone: make(chan struct{}, 1),
	}
	p.stops = &stops{status: r.status, leases: p.leases, inbox: p.inbox, count: r.metrics.stopped}
	p.locator = &locator{
		control: control, store: d.Store, leases: p.leases, stops: p.stops, strangers: p.strangers, inbox: p.inbox,
		leftOut: &leftOut{topics: map[string]bool{}}, status: r.status, metrics: r.metrics, now: d.Now, log: d.Log,
	}
	p.dispatcher = &dispatcher{budget: newBudget(r.options.MaxInFlightBytes), seals: d.Sealer.Seals(), inFlight: r.metrics.inFlight, decode: make(chan *chunk, 2*runtime.GOMAXPROCS(0))}
	for n := range r.options.Workers {
		p.dispatcher.workers = append(p.dispatcher.workers, &worker{
			options: r.options, store: d.Store, now: d.Now, log: d.Log.With("worker", n), metrics: r.metrics, tracing: p.tracing,
			status: r.status, leases: p.leases, budget: p.dispatcher.budget, inbox: p.inbox, fail: func(err error) { end(&failure{err}) },
			number: n, queue: make(chan *chunk, queueChunks), timeout: cmp.Or(d.appendTimeout, appendTimeout),
		})
	}
	return p
}

func (r *Role) newPoller(p *pipeline) *poller {
	return &poller{
		options: r.options, consumer: p.consumer, unpacker: p.unpacker, control: p.control, store: r.deps.Store, locator: p.locator, leases: p.leases, stops: p.stops,
		dispatcher: p.dispatcher, strangers: p.strangers, inbox: p.inbox, status: r.status, now: r.deps.Now, log: r.deps.Log, again: p.again,
		resting: map[kafka.TopicPartition]time.Time{}, stale: map[kafka.TopicPartition]time.Time{},
	}
}

func (r *Role) newSurveyor(p *pipeline) *surveyor {
	return &surveyor{
		control: p.control, consumer: p.consumer, store: r.deps.Store, leases: p.leases, stops: p.stops, inbox: p.inbox, leftOut: p.locator.leftOut,
		status: r.status, metrics: r.metrics, named: r.named, now: r.deps.Now, log: r.deps.Log, again: p.again, complained: map[string]time.Time{},
	}
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
	for _, w := range p.dispatcher.workers {
		workers.Go(func() { w.run(appending) })
	}
	aside.Go(func() { p.watch(ctx, r.newSurveyor(p), cmp.Or(r.deps.watchEvery, watchEvery)) })
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

	r.newPoller(p).run(ctx, appending)

	close(p.dispatcher.decode)
	decoders.Wait()
	for _, w := range p.dispatcher.workers {
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
