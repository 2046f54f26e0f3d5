package ingest

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.opentelemetry.io/otel/trace"

	"audittrail/modules/event"
	"audittrail/modules/store"
	"audittrail/platform/telemetry"
)

// worker appends the chunks of its partitions, in the order in which they were read.
type worker struct {
	options Options
	store   Store
	now     func() time.Time
	log     *slog.Logger
	metrics *metrics
	tracing *tracing
	status  *status
	leases  *leases
	budget  *budget
	inbox   *inbox
	fail    func(error) // ends Run with an error

	number int
	queue  chan *chunk
	batch  batch

	timeout   time.Duration // of one try of an append
	lastStart time.Time     // of the append before
}

// run works until the queue is closed and empty, or ctx ends: then what is left stays unacknowledged,
// and is read again by whoever gets the partitions.
func (w *worker) run(ctx context.Context) {
	due := time.NewTimer(time.Hour)
	due.Stop()
	defer due.Stop()
	isDue := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-due.C:
			// What waits in the queue already comes along: under load batches are full, not early.
			if isDue = len(w.queue) > 0; !isDue {
				w.flush(ctx)
			}
			continue
		case c, ok := <-w.queue:
			if !ok {
				w.flush(ctx)
				return
			}
			select {
			case <-c.ready:
			case <-ctx.Done():
				return
			}
			if !w.batch.fits(c, w.options) {
				w.flush(ctx)
				isDue = false
			}
			if len(w.batch.chunks) == 0 {
				due.Reset(w.delay())
			}
			w.batch.add(c)
			if w.batch.full(w.options) || isDue && len(w.queue) == 0 {
				w.flush(ctx)
				isDue = false
				due.Stop()
			}
		}
	}
}

// delay is how long a batch that has just begun waits for more: until `ingest.linger` after the last
// append began, which bounds the number of batches; next to nothing when the worker has been idle.
func (w *worker) delay() time.Duration {
	return max(gather, w.options.Linger-w.now().Sub(w.lastStart))
}

// flush appends the batch, again and again until it is stored or ctx ends. Between tries the leases are
// looked at anew: records whose lease has ended leave the batch. That is safe also where the answer to
// an earlier COMMIT was lost, since all or nothing of that try was stored.
func (w *worker) flush(ctx context.Context) {
	defer w.putDown()
	w.lastStart = w.now()
	ctx, span := w.tracing.batch(ctx, w.batch.chunks)
	defer span.End()
	for try := 0; ; try++ {
		done, err := w.try(ctx)
		if done {
			return
		}
		if ctx.Err() != nil {
			return
		}
		w.metrics.appendErrors.Inc()
		telemetry.Fail(span, err)
		lasting := w.status.has(troubleStore, err)
		if try == 0 || try%10 == 0 {
			w.log.ErrorContext(ctx, "append failed; the same batch is tried again", "try", try+1, "failingFor", lasting.Round(time.Millisecond), "error", err)
		}
		if !sleep(ctx, backoff(try)) {
			return
		}
	}
}

// appendTimeout is how long one try may take. No append takes as long by itself, even one that has to look
// for many rows that PostgreSQL refuses; a server that is frozen, but keeps its connections, would take
// for ever.
const appendTimeout = 5 * time.Minute

// try appends the part of the batch whose leases stand. It is done when there is nothing left to do.
func (w *worker) try(ctx context.Context) (done bool, err error) {
	flight, chunks := w.leases.takeOff(w.number, w.batch.chunks)
	defer w.leases.land(flight)
	if len(chunks) == 0 {
		return true, nil
	}
	b, err := w.batch.build(chunks)
	if err != nil {
		w.fail(err) // a bug: going on would lose offsets
		return true, nil
	}
	ctx, cancel := context.WithTimeout(ctx, w.timeout)
	defer cancel()
	start := w.now()
	receipt, err := w.store.Append(ctx, b)
	if err != nil {
		return false, err
	}
	if lasting := w.status.has(troubleStore, nil); lasting > 0 {
		w.log.Info("append works again", "failedFor", lasting.Round(time.Millisecond))
	}
	took := w.now().Sub(start)
	telemetry.Observe(ctx, w.metrics.appends, took.Seconds())
	w.metrics.batchEvents.Observe(float64(len(b.Events)))
	stored(trace.SpanFromContext(ctx), b, receipt)
	for _, c := range chunks {
		c.appended = true
	}
	w.log.DebugContext(ctx, "batch appended", "events", len(b.Events), "rejected", len(b.Rejected), "stored", receipt.Stored,
		"firstPosition", receipt.First, "duration", took)
	w.noteReceipt(b, receipt)
	return true, nil
}

// noteReceipt notes what was stored, and gives up partitions that were fenced off.
func (w *worker) noteReceipt(b store.Batch, r store.Receipt) {
	lost := make(map[store.Partition]bool, len(r.Lost))
	for _, l := range r.Lost {
		lost[l.Partition] = true
	}
	leaseOf := make(map[store.Partition]*lease, len(r.Lost))
	for i, rg := range b.Ranges {
		if lost[rg.Partition] {
			leaseOf[rg.Partition] = w.batch.leases[i]
			continue
		}
		w.batch.leases[i].acked.Store(rg.To)
		w.batch.leases[i].epoch.Store(rg.LeaderEpoch)
	}
	w.metrics.count(r)
	for _, l := range r.Lost {
		w.lost(leaseOf[l.Partition], l)
	}
}

// lost gives up a partition that the fence refused: what is buffered of it is dropped, and it goes on
// where the database says.
func (w *worker) lost(held *lease, l store.Lost) {
	// A log of the partition's own that the database does not know is no topic made again: see store.Admission.
	if l.Recreated != (event.TopicID{}) && l.Recreated != held.topicID {
		w.inbox.put(topicStop{topic: l.Topic, why: recreated(l.Topic, held.topicID, l.Recreated)})
		return
	}
	w.log.Warn("partition was moved on by somebody else, or the database is an older one: going on where it says",
		"topic", l.Topic, "partition", l.Number, "nextOffset", l.NextOffset)
	if w.leases.suspend(held) {
		w.inbox.put(reposition{lease: held})
	}
}

// putDown gives back what the batch held.
func (w *worker) putDown() {
	var n int64
	for _, c := range w.batch.chunks {
		c.end()
		n += c.taken
	}
	w.batch.reset()
	w.budget.give(n)
	w.metrics.inFlight.Set(float64(w.budget.used()))
}

// Tries of what failed come 0.1 s to 5 s apart.
const (
	firstBackoff = 100 * time.Millisecond
	lastBackoff  = 5 * time.Second
)

// backoff doubles from try to try, with up to a quarter less, so that processes do not try in step.
func backoff(try int) time.Duration {
	d := lastBackoff
	if try < 6 {
		d = min(d, firstBackoff<<try)
	}
	return d - rand.N(d/4)
}

// sleep waits; false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
