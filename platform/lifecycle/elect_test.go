package lifecycle_test

import (
	"context"
	"testing"
	"time"

	"audittrail/platform/lifecycle"
)

// term goes on for as many rounds as it has left.
type term struct {
	left   int
	rounds *int
	closed *int
}

func (t *term) Round(context.Context) bool {
	*t.rounds++
	t.left--
	return t.left > 0
}

func (t *term) Close(ctx context.Context) {
	if ctx.Err() == nil { // also after the end, there is time for a farewell
		*t.closed++
	}
}

func TestElectTriesAgainAfterEachTerm(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var tries, rounds, closed int
	lifecycle.Elect(ctx, time.Millisecond, func(context.Context) lifecycle.Term {
		tries++
		switch tries {
		case 1:
			return nil // somebody else leads
		case 4:
			cancel()
			return nil
		default:
			return &term{left: 3, rounds: &rounds, closed: &closed}
		}
	})
	if tries != 4 || rounds != 6 || closed != 2 {
		t.Errorf("%d tries, %d rounds, %d terms closed; want 4, 6 and 2", tries, rounds, closed)
	}
}

func TestElectClosesTheTermThatTheEndInterrupts(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	var rounds, closed int
	lifecycle.Elect(ctx, time.Millisecond, func(context.Context) lifecycle.Term {
		cancel()
		return &term{left: 1000, rounds: &rounds, closed: &closed}
	})
	if rounds != 1 || closed != 1 {
		t.Errorf("%d rounds, %d terms closed; want 1 and 1", rounds, closed)
	}
}
