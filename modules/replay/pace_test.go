package replay

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"audittrail/modules/event"
)

// paced lets the pacer have its way with events, again and again until a time where there is one, with deliveries that take as long as
// deliver says, and returns when each event was sent. Time is the bubble's.
func paced(t *testing.T, p *pacer, events []event.Stored, until time.Duration, deliver func() time.Duration) (at []time.Duration) {
	began := time.Now()
	for rest := events; len(rest) > 0; {
		n, err := p.next(context.Background(), rest)
		require.NoError(t, err)
		require.Positive(t, n)
		if until > 0 && time.Since(began) >= until {
			break
		}
		for range n {
			at = append(at, time.Since(began))
		}
		time.Sleep(deliver()) //nolint:forbidigo // of synctest's clock
		if rest = rest[n:]; len(rest) == 0 && until > 0 {
			rest = events
		}
	}
	return at
}

// busiest is how many of the moments lie in the window that has most of them.
func busiest(at []time.Duration, window time.Duration) (most int) {
	for first, last := 0, 0; last < len(at); last++ {
		for at[last]-at[first] >= window {
			first++
		}
		most = max(most, last-first+1)
	}
	return most
}

// A rate holds within 2 % over a minute, whatever a delivery takes as long as the target keeps up.
func TestARateHolds(t *testing.T) {
	for _, perSecond := range []float64{0.5, 3, 100, 500, 20_000} {
		for name, deliver := range map[string]func() time.Duration{
			"at once":             func() time.Duration { return 0 },
			"30 ms":               func() time.Duration { return 30 * time.Millisecond },
			"up to 300 ms":        func() time.Duration { return rand.N(300 * time.Millisecond) },
			"now and then 800 ms": func() time.Duration { return 800 * time.Millisecond * time.Duration(rand.N(50)/49) },
		} {
			t.Run(fmt.Sprint(perSecond, " ", name), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					want := perSecond * 60
					at := paced(t, &pacer{perSecond: perSecond}, make([]event.Stored, maxChunk), 2*time.Minute, deliver)
					require.InDelta(t, 2*want, len(at), max(1, 0.02*2*want), "in two minutes")
					require.LessOrEqual(t, float64(busiest(at, time.Minute)), max(want+1, 1.02*want), "in the busiest minute")
				})
			})
		}
	}
}

// What a target could not take in time is not heaped upon it later.
func TestAPauseIsNotMadeUpFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, sent := &pacer{perSecond: 100}, 0
		at := paced(t, p, make([]event.Stored, maxChunk), time.Minute, func() time.Duration {
			if sent++; sent == 20 {
				return 20 * time.Second
			}
			return 0
		})
		require.LessOrEqual(t, busiest(at, time.Second), 205)
		require.InDelta(t, 4000, len(at), 120)
	})
}

// An hour that was recorded takes a minute at its rhythm × 60, and each event comes when it is due.
func TestTheRhythmOfARecordedHour(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		recorded := time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
		events := make([]event.Stored, 5000)
		for i, moment := 0, time.Duration(0); i < len(events); i++ {
			events[i].Timestamp = recorded.Add(moment)
			moment += rand.N(2 * time.Hour / time.Duration(len(events)))
		}
		events[len(events)-1].Timestamp = recorded.Add(time.Hour)
		at := paced(t, &pacer{scale: 60}, events, 0, func() time.Duration { return rand.N(100 * time.Millisecond) })
		require.Len(t, at, len(events))
		require.InDelta(t, 60, at[len(at)-1].Seconds(), 1.2)
		for i := range events[:len(events)-1] {
			due := events[i].Timestamp.Sub(recorded) / 60
			require.GreaterOrEqual(t, at[i], due, "event %d", i)
			require.Less(t, at[i], due+200*time.Millisecond, "event %d", i)
		}
	})
}
