package replay

import (
	"context"
	"time"

	"audittrail/modules/event"
)

const (
	// burst is how much of what was not sent in time may be sent at once later: so much that a slow transaction costs
	// no rate, and so little that no minute has 2 % more than it should.
	burst = time.Second
	// slice is for how long events are gathered where many are due a second, so that they go together.
	slice = 50 * time.Millisecond
)

// pacer says when events may be sent. The zero value lets all go at once.
type pacer struct {
	perSecond float64 // at most so many; 0: no bound
	scale     float64 // times as fast as the timestamps say; 0: without their rhythm

	begun time.Time // when the first event was due
	count float64   // events since

	first  time.Time // the timestamp that was due at rhythm
	rhythm time.Time
}

// next waits until events may be sent, and returns how many of these.
func (p *pacer) next(ctx context.Context, events []event.Stored) (int, error) {
	n := len(events)
	if p.scale > 0 {
		var err error
		if n, err = p.inRhythm(ctx, events); err != nil {
			return 0, err
		}
	}
	if p.perSecond == 0 {
		return n, nil
	}
	return p.atMost(ctx, n)
}

// inRhythm waits for the first event, and counts those that are due by then. One that is older than those before it
// is due at once.
func (p *pacer) inRhythm(ctx context.Context, events []event.Stored) (int, error) {
	if p.rhythm.IsZero() {
		p.rhythm, p.first = time.Now(), events[0].Timestamp
	}
	due := func(e *event.Stored) time.Time {
		return p.rhythm.Add(time.Duration(float64(e.Timestamp.Sub(p.first)) / p.scale))
	}
	if err := wait(ctx, time.Until(due(&events[0]))); err != nil {
		return 0, err
	}
	now, n := time.Now(), 1
	for n < len(events) && !due(&events[n]).After(now) {
		n++
	}
	return n, nil
}

// atMost waits until one event of n may be sent, and returns how many may.
func (p *pacer) atMost(ctx context.Context, n int) (int, error) {
	now := time.Now()
	if p.begun.IsZero() {
		p.begun = now
	}
	if latest := p.at(p.count).Add(burst); now.After(latest) {
		p.begun = p.begun.Add(now.Sub(latest)) // what was missed is not made up for
	}
	together := min(float64(n), max(1, p.perSecond*slice.Seconds()))
	if err := wait(ctx, time.Until(p.at(p.count+together-1))); err != nil {
		return 0, err
	}
	// The event number k is due k intervals after the first.
	may := int(time.Since(p.begun).Seconds()*p.perSecond-p.count) + 1
	may = min(n, max(1, may))
	p.count += float64(may)
	return may, nil
}

// at is when the event of a number is due.
func (p *pacer) at(number float64) time.Time {
	return p.begun.Add(time.Duration(number / p.perSecond * float64(time.Second)))
}

// wait waits so long, or until ctx ends, which is its error.
func wait(ctx context.Context, long time.Duration) error {
	if long <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(long)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
