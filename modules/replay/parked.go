package replay

import (
	"context"

	"audittrail/modules/store"
)

// maxHeld is how many events may have failed, or wait for such ones, before the job is paused.
const maxHeld = 1000

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
