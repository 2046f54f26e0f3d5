package replay

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"audittrail/modules/event"
	"audittrail/modules/httpapi"
	"audittrail/modules/store"
	"audittrail/platform/errs"
)

const (
	// What is read at once, and sent together at most.
	maxChunk   = 5000
	chunkBytes = 4 << 20

	// maxHeld is how many events may have failed, or wait for such ones, before the job is paused.
	maxHeld = 1000

	// Between two tries of what can't be sent right now.
	leastBackoff, mostBackoff = 500 * time.Millisecond, 10 * time.Second
)

// Why a job stops.
var (
	errPaused    = errors.New("paused")
	errCancelled = errors.New("cancelled")
	errHeld      = fmt.Errorf("more than %d events have failed, or wait for such ones", maxHeld)
	errUncertain = errors.New("the lease could not be renewed in time")
)

// job is one worker's time with a replay.
type job struct {
	role   *Role
	claim  store.ReplayClaim
	log    *slog.Logger
	stop   context.CancelCauseFunc
	to     destination
	filter store.Filter
	pace   pacer

	mu       sync.Mutex // for what follows: the job's goroutine and the one that renews the lease
	progress store.ReplayProgress
	asked    store.ReplayAsked
	renewed  time.Time // when the last renewal that went well was sent
	held     int64     // failed and waiting events
	meter    meter

	parked map[aggregate]bool // of events that failed; the job's goroutine alone
}

func newJob(r *Role, c store.ReplayClaim) *job {
	j := &job{
		role: r, claim: c, asked: c.Asked, renewed: time.Now(), held: c.Failed + c.Waiting, parked: map[aggregate]bool{},
		log: r.deps.Log.With("replay", c.ID.String(), "lease", c.Lease),
	}
	j.progress = store.ReplayProgress{Position: c.Position, Sent: c.Sent}
	if c.Asked.Wish == store.WishRun {
		j.progress.Heeded = c.Asked.Number
	}
	return j
}

// run works at the job until it is done, somebody else has it, or ctx ends.
func (j *job) run(ctx context.Context) {
	ctx, j.stop = context.WithCancelCause(ctx)
	defer j.stop(nil)
	j.log.InfoContext(ctx, "works at a replay", "position", j.claim.Position)
	var renewing sync.WaitGroup
	renewing.Go(func() { j.renew(ctx) })
	err := j.work(ctx)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	j.stop(err)
	renewing.Wait()
	j.end(context.WithoutCancel(ctx), err)
}

// work sends what is to be sent.
func (j *job) work(ctx context.Context) error {
	if err := j.heed(j.asked); err != nil { // a wish that the worker before did not hear
		return err
	}
	if err := j.prepare(); err != nil {
		return err
	}
	readable, err := store.WithScopes(ctx, j.claim.Scopes)
	if err != nil {
		return err
	}
	if j.to.kind == typeFile { // which holds nothing yet
		j.progress.Position, j.progress.Sent = -1, 0
	}
	if err := j.park(ctx); err != nil {
		return err
	}
	link := &link{job: j}
	defer link.drop()
	if j.isAskedToRetry() {
		if err := j.retry(readable, link); err != nil {
			return err
		}
		if j.claim.Prior != store.ReplayRunning && j.claim.Position < j.claim.Until { // just those that had failed
			return errPaused
		}
	}
	if err := j.sendAll(readable, link); err != nil {
		return err
	}
	return link.finish(ctx)
}

// prepare reads the job's documents.
func (j *job) prepare() error {
	var (
		filter httpapi.ReplayFilter
		target httpapi.ReplayTarget
		speed  httpapi.ReplaySpeed
	)
	for _, document := range []struct {
		text []byte
		into any
	}{{j.claim.Filter, &filter}, {j.claim.Target, &target}, {j.claim.Speed, &speed}} {
		if err := json.Unmarshal(document.text, document.into); err != nil {
			return &fatal{"the job can't be read by this version", err}
		}
	}
	var err error
	if j.filter, err = filterOf(&filter, j.claim.CreatedAt); err != nil {
		return &fatal{errs.Of(err).Detail, err}
	}
	if j.to, err = j.role.deps.Targets.resolve(target); err != nil {
		return &fatal{errs.Of(err).Detail, err}
	}
	j.pace = paceOf(speed, j.to)
	return nil
}

// park remembers of which aggregates events have failed.
func (j *job) park(ctx context.Context) error {
	clear(j.parked)
	for after := int64(-1); ; {
		failures, err := j.failures(ctx, after)
		if err != nil {
			return err
		}
		for _, f := range failures {
			j.parked[aggregate{f.AggregateType, f.AggregateID}] = true
			after = f.Position
		}
		if len(failures) < maxHeld {
			return nil
		}
	}
}

// failures reads failed and waiting events beyond a position, maxHeld at most.
func (j *job) failures(ctx context.Context, after int64) (found []store.ReplayFailure, err error) {
	err = j.patiently(ctx, func() (err error) {
		found, err = j.role.deps.Jobs.Failures(ctx, j.claim.Number, after, maxHeld)
		return unreadable(err)
	})
	return found, err
}

// page is a part of what is to be sent.
type page struct {
	events []event.Stored
	to     int64 // all up to this position is in it, or before it
}

// sendAll reads and sends side by side.
func (j *job) sendAll(ctx context.Context, to *link) error {
	ctx, cancel := context.WithCancel(ctx)
	pages, failed := make(chan page, 2), make(chan error, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer cancel()
	reading.Go(func() {
		defer close(pages)
		failed <- j.read(ctx, j.progress.Position, pages)
	})
	for p := range pages {
		for rest := p.events; len(rest) > 0; {
			if j.isAskedToRetry() {
				if err := j.retry(ctx, to); err != nil {
					return err
				}
			}
			n, err := j.pace.next(ctx, rest[:min(len(rest), j.to.together())])
			if err != nil {
				return err
			}
			if err := j.deliver(ctx, to, rest[:n]); err != nil {
				return err
			}
			rest = rest[n:]
		}
		j.moveOn(p.to)
	}
	return <-failed
}

// read reads what is to be sent. A store that does not answer is asked again.
func (j *job) read(ctx context.Context, after int64, into chan<- page) error {
	until := j.claim.Until
	for after < until {
		var found store.FeedPage
		err := j.patiently(ctx, func() (err error) {
			if found, err = j.role.deps.Reader.FeedBatch(ctx, j.filter, after, maxChunk, chunkBytes); errs.Of(err).Code == "position_beyond_end" {
				return &fatal{"the log ends before the replay does: it was set back", err}
			}
			return unreadable(err)
		})
		if err != nil {
			return err
		}
		if found.ScannedTo == after && !found.More {
			return &fatal{"the log ends before the replay does: it was set back", nil}
		}
		p := page{found.Items, min(found.ScannedTo, until)}
		for n := len(p.events); n > 0 && p.events[n-1].Position > until; n-- {
			p.events = p.events[:n-1]
		}
		after = found.ScannedTo
		select {
		case into <- p:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func unreadable(err error) error {
	if err == nil {
		return nil
	}
	return &obstacle{"the event store can't be read right now", err}
}

// deliver sends events until each was sent, has failed or waits.
func (j *job) deliver(ctx context.Context, to *link, events []event.Stored) error {
	return j.patiently(ctx, func() error {
		var open []event.Stored
		outcomes := make([]outcome, len(events))
		for i := range events {
			if j.parked[aggregateOf(&events[i])] {
				outcomes[i] = outcome{status: waiting}
			} else {
				open = append(open, events[i])
			}
		}
		if err := refuseSealed(open); err != nil {
			return err
		}
		results, err := to.send(ctx, open)
		for i := range outcomes {
			if outcomes[i].status == unsent && len(results) > 0 {
				outcomes[i], results = results[0], results[1:]
			}
		}
		events = events[j.settle(events, outcomes):]
		if stored := j.save(ctx); stored != nil {
			return stored
		}
		if err == nil && len(events) > 0 {
			err = &obstacle{"not all events were sent", ctx.Err()}
		}
		return err
	})
}

// patiently tries until it goes well, or is not worth another try, or ctx ends.
func (j *job) patiently(ctx context.Context, try func() error) error {
	for backoff := leastBackoff; ; backoff = min(2*backoff, mostBackoff) {
		err := try()
		switch {
		case err == nil, isFatal(err):
			return err
		case ctx.Err() != nil:
			return context.Cause(ctx)
		}
		j.hindered(shown(err))
		j.log.WarnContext(ctx, "a replay is hindered, it will be tried again", "error", err)
		if wait(ctx, backoff) != nil {
			return context.Cause(ctx)
		}
	}
}

// settle counts the events up to the first that was not sent, and answers how many these are.
func (j *job) settle(events []event.Stored, outcomes []outcome) (done int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for ; done < len(events) && outcomes[done].status != unsent; done++ {
		e, o := &events[done], outcomes[done]
		label := outcomeSent
		if o.status == sent {
			j.progress.Sent++
			j.progress.Error = ""
		} else {
			j.parked[aggregateOf(e)] = true
			j.held++
			j.progress.Failures = append(j.progress.Failures, store.ReplayFailure{
				Position: e.Position, Attempts: o.attempts, EventID: e.ID, AggregateType: e.AggregateType, AggregateID: e.AggregateID, Reason: o.reason,
			})
			label = map[status]string{failed: outcomeFailed, waiting: outcomeWaiting}[o.status]
		}
		j.role.metrics.events.WithLabelValues(j.to.kind, label).Inc()
		j.progress.Position = e.Position
	}
	return done
}

// moveOn notes that all is settled up to a position.
func (j *job) moveOn(position int64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress.Position = max(j.progress.Position, position)
}

// hindered notes what is in the way.
func (j *job) hindered(why string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.progress.Error = why
}

// mayStillSend reports whether the lease is certainly this worker's for a while. A process that was frozen finds out
// here that its time is over: the clock went on.
func (j *job) mayStillSend() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return time.Since(j.renewed) < j.role.deps.Lease*4/5
}

// renew stores the progress now and then, so that wishes are heard and the lease goes on while nothing is sent.
func (j *job) renew(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := j.save(ctx); err != nil {
			return
		}
	}
}

// save stores the progress, renews the lease and hears what is wanted. An error stops the job. A store that does not
// answer is none until the lease may be another's.
func (j *job) save(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	sending := time.Now()
	j.progress.Rate = j.meter.rate(sending, j.progress.Sent)
	bounded, cancel := context.WithTimeout(context.WithoutCancel(ctx), j.role.deps.Lease/2) // what was sent is sent
	defer cancel()
	asked, err := j.role.deps.Jobs.Renew(bounded, &j.claim, j.progress)
	switch {
	case errors.Is(err, store.ErrLeaseLost):
	case err != nil && time.Since(j.renewed) < j.role.deps.Lease*4/5:
		return nil
	case err != nil:
		err = errUncertain
	default:
		j.renewed, j.asked = sending, asked
		j.progress.Failures, j.progress.Delivered = nil, nil
		if err = j.heed(asked); err == nil && j.held > maxHeld {
			err = errHeld
		}
	}
	if err != nil {
		j.stop(err)
	}
	return err
}

// heed answers why the job has to stop by what is wanted.
func (j *job) heed(a store.ReplayAsked) error {
	switch {
	case a.IsOpen && a.Wish == store.WishPause:
		return errPaused
	case a.IsOpen && a.Wish == store.WishCancel:
		return errCancelled
	}
	return nil
}

// end stores how the job ended, and gives it up.
func (j *job) end(ctx context.Context, why error) {
	state, text := store.ReplayCompleted, ""
	switch {
	case errors.Is(why, store.ErrLeaseLost), errors.Is(why, errUncertain):
		j.log.WarnContext(ctx, "gives a replay up", "error", why)
		return
	case errors.Is(why, errPaused):
		state = store.ReplayPaused
	case errors.Is(why, errCancelled):
		state = store.ReplayCancelled
	case errors.Is(why, errHeld):
		state, text = store.ReplayPaused, why.Error()
	case errors.Is(why, context.Canceled):
		state = store.ReplayPending // for another process
	case why != nil:
		state, text = store.ReplayFailed, shown(why)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.progress.Error = text; state != store.ReplayPending {
		j.progress.Heeded = j.asked.Number
	}
	bounded, cancel := context.WithTimeout(ctx, j.role.deps.Lease/2)
	defer cancel()
	if err := j.role.deps.Jobs.End(bounded, &j.claim, state, j.progress); err != nil {
		j.log.WarnContext(ctx, "the end of a replay could not be stored: another process will go on with it", "error", err)
		return
	}
	j.log.InfoContext(ctx, "a replay ends", "state", string(state), "sent", j.progress.Sent, "error", text)
}

// link is the connection to a target, made where there is none.
type link struct {
	job *job
	to  sender
}

func (l *link) send(ctx context.Context, events []event.Stored) ([]outcome, error) {
	if len(events) == 0 {
		return nil, nil
	}
	if !l.job.mayStillSend() {
		return nil, &obstacle{"waits for the lease to be renewed", nil}
	}
	if err := l.open(ctx); err != nil {
		return nil, err
	}
	begun := time.Now()
	outcomes, err := l.to.send(ctx, events)
	l.job.role.metrics.seconds.WithLabelValues(l.job.to.kind).Observe(time.Since(begun).Seconds())
	if err != nil && l.job.to.kind == typeKafka {
		l.drop() // such a client can't be used any more
	}
	return outcomes, err
}

func (l *link) open(ctx context.Context) (err error) {
	if l.to != nil {
		return nil
	}
	j := l.job
	switch j.to.kind {
	case typeKafka:
		l.to, err = openKafka(ctx, j.role.deps.Kafka, j.to, j.claim.ID.String(), j.role.deps.MaxRecordBytes, j.log)
	case typeFile:
		l.to, err = openFile(j.to, j.claim.ID.String(), j.claim.Lease)
	case typeWebhook:
		l.to, err = openWebhook(j)
	}
	if err != nil {
		l.to = nil
	}
	return err
}

// finish ends what was sent. A file without an event is made too.
func (l *link) finish(ctx context.Context) error {
	if l.job.to.kind != typeFile {
		return nil
	}
	if err := l.open(ctx); err != nil {
		return err
	}
	return l.to.finish(ctx)
}

func (l *link) drop() {
	if l.to != nil {
		l.to.close()
		l.to = nil
	}
}

// meter measures how many events are sent a second.
type meter struct {
	at   time.Time
	sent int64
	last float64
}

func (m *meter) rate(now time.Time, sent int64) float64 {
	passed := now.Sub(m.at)
	switch {
	case m.at.IsZero():
		m.at, m.sent = now, sent
	case passed >= time.Second:
		measured := float64(sent-m.sent) / passed.Seconds()
		if m.last > 0 {
			measured = (measured + m.last) / 2
		}
		m.at, m.sent, m.last = now, sent, max(measured, 0)
	}
	return m.last
}
