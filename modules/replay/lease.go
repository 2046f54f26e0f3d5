package replay

import (
	"context"
	"errors"
	"time"

	"audittrail/modules/store"
)

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
