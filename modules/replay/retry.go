package replay

import (
	"context"
	"fmt"

	"audittrail/modules/event"
	"audittrail/modules/store"
)

// isAskedToRetry reports whether somebody wants the failed events to be sent again.
func (j *job) isAskedToRetry() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.asked.IsOpen && j.asked.Wish == store.WishRetry && j.asked.Number > j.progress.Heeded
}

// retry sends again what has failed or waits, in the order of the positions. Of an aggregate whose event fails again
// the later ones go on waiting.
func (j *job) retry(ctx context.Context, to *link) error {
	j.mu.Lock()
	asked := j.asked.Number
	j.mu.Unlock()
	still := map[aggregate]bool{}
	for after := int64(-1); ; {
		failures, err := j.failures(ctx, after)
		if err != nil {
			return err
		}
		for i := range failures {
			f := &failures[i]
			after = f.Position
			if of := (aggregate{f.AggregateType, f.AggregateID}); !still[of] {
				delivered, err := j.again(ctx, to, f)
				if err != nil {
					return err
				}
				still[of] = !delivered
			}
		}
		if len(failures) < maxHeld {
			break
		}
	}
	j.mu.Lock()
	j.progress.Heeded = asked
	j.mu.Unlock()
	if err := j.save(ctx); err != nil {
		return err
	}
	return j.park(ctx)
}

// again sends one event that has failed, or has waited.
func (j *job) again(ctx context.Context, to *link, f *store.ReplayFailure) (delivered bool, err error) {
	var found store.FeedPage
	if err := j.patiently(ctx, func() (err error) {
		found, err = j.role.deps.Reader.Feed(ctx, store.Filter{}, f.Position-1, 1)
		return unreadable(err)
	}); err != nil {
		return false, err
	}
	if len(found.Items) == 0 || found.Items[0].Position != f.Position {
		return false, &fatal{fmt.Sprintf("the event at position %d, which has failed, can't be read", f.Position), nil}
	}
	e := found.Items[0]
	if _, err := j.pace.next(ctx, []event.Stored{e}); err != nil {
		return false, err
	}
	var o []outcome
	if err := j.patiently(ctx, func() (err error) {
		if o, err = to.send(ctx, []event.Stored{e}); err == nil && (len(o) == 0 || o[0].status == unsent) {
			err = &obstacle{"not all events were sent", ctx.Err()}
		}
		return err
	}); err != nil {
		return false, err
	}
	j.mu.Lock()
	label := outcomeFailed
	if delivered = o[0].status == sent; delivered {
		label = outcomeSent
		j.progress.Sent++
		j.held--
		j.progress.Delivered = append(j.progress.Delivered, f.Position)
	} else {
		j.progress.Failures = append(j.progress.Failures, store.ReplayFailure{
			Position: f.Position, Attempts: o[0].attempts, EventID: f.EventID, AggregateType: f.AggregateType, AggregateID: f.AggregateID, Reason: o[0].reason,
		})
	}
	j.mu.Unlock()
	j.role.metrics.events.WithLabelValues(j.to.kind, label).Inc()
	return delivered, j.save(ctx)
}
