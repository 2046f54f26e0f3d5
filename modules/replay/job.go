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

// Between two tries of what can't be sent right now.
const leastBackoff, mostBackoff = 500 * time.Millisecond, 10 * time.Second

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
	if err := j.checkIngested(ctx); err != nil {
		return err
	}
	readable, err := store.WithScopes(ctx, j.claim.Scopes)
	if err == nil {
		readable, err = j.opening(readable)
	}
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
