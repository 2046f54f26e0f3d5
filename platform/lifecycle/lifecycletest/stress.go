// Package lifecycletest holds the stress test that every role must pass.
package lifecycletest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"audittrail/platform/lifecycle"
	"audittrail/platform/longtest"
)

// grace is how long a role under test has to return once it is cancelled. It is far more than a role
// should take, since the machine may be busy; a role that hangs is found all the same.
const grace = 30 * time.Second

// Stress starts, cancels and fails roles at random moments, alone and in the company of others, and
// checks after each time that Run returned in time, that it returned nil where it was only told to
// stop, that Health neither blocked nor panicked, and that no goroutine was left behind.
//
// newRole makes a role that has not run yet; it is called many times. What it opens on the side, such
// as a pool, belongs to it: goroutines that are there when newRole returns are not counted as leaks.
// A role that fails by itself, because its parts are away, fails the test: roles wait for them.
func Stress(t *testing.T, newRole func() lifecycle.Role) {
	t.Helper()
	rounds := longtest.Choose(t, 3, 8) // of each case with a random moment
	t.Run("cancelled before it runs", func(t *testing.T) {
		play(t, newRole(), func(*lifecycle.Group) time.Duration { return 0 }, nil, nil)
	})
	t.Run("cancelled when it is ready", func(t *testing.T) {
		for range 2 {
			play(t, newRole(), untilReady(t), nil, nil)
		}
	})
	t.Run("cancelled at a random moment", func(t *testing.T) {
		for range rounds {
			play(t, newRole(), randomMoment, nil, nil)
		}
	})
	t.Run("a role before it fails", func(t *testing.T) {
		for range rounds {
			play(t, newRole(), nil, &failing{after: randomMoment(nil)}, nil)
		}
	})
	t.Run("a role after it fails", func(t *testing.T) {
		for range rounds {
			play(t, newRole(), nil, nil, &failing{after: randomMoment(nil)})
		}
	})
	t.Run("a role beside it panics", func(t *testing.T) {
		play(t, newRole(), nil, &failing{after: randomMoment(nil), panics: true}, nil)
	})
}

// randomMoment is spread over orders of magnitude: what races lies within the first millisecond as
// often as within the first half second.
func randomMoment(*lifecycle.Group) time.Duration {
	return time.Duration(float64(time.Microsecond*50) * float64(int(1)<<rand.IntN(14)) * rand.Float64())
}

// untilReady waits until the group is ready, so that the role is stopped in the middle of its work.
func untilReady(t *testing.T) func(*lifecycle.Group) time.Duration {
	return func(g *lifecycle.Group) time.Duration {
		ctx, cancel := context.WithTimeout(context.Background(), grace)
		defer cancel()
		for tick := time.NewTicker(2 * time.Millisecond); ; {
			s := g.Status(ctx)
			if s[0].Ready {
				tick.Stop()
				return 0
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				tick.Stop()
				t.Errorf("role %s was not ready within %s: %v", s[0].Role, grace, s[0].Err)
				return 0
			}
		}
	}
}

// readsBeside is where a connection of a pool waits for its next answer. pgx begins it when a write takes longer than
// 15 ms, as on a busy machine, and it lasts as long as the connection, which the role's pool keeps.
const readsBeside = "github.com/jackc/pgx/v5/pgconn/internal/bgreader.(*BGReader).bgRead"

// play runs the role between two others, any of which may be nil, cancels after the moment that when
// tells (nil: never, somebody fails), and checks what is left.
func play(t *testing.T, role lifecycle.Role, when func(*lifecycle.Group) time.Duration, before, after *failing) {
	t.Helper()
	leaks := goleak.IgnoreCurrent()
	var roles []lifecycle.Role
	if before != nil {
		roles = append(roles, before)
	}
	roles = append(roles, role)
	if after != nil {
		roles = append(roles, after)
	}
	g := lifecycle.NewGroup(slog.New(slog.DiscardHandler), grace, roles...)
	err := run(g, when)
	switch {
	case when != nil && err != nil:
		t.Errorf("Run returned %v after it was told to stop", err)
	case when == nil && !errors.Is(err, errPlanned) && !isPanic(err):
		t.Errorf("Run returned %v where another role failed", err)
	}
	if extra := beyondPlan(err); when == nil && extra != nil {
		t.Errorf("Run also returned %v", extra)
	}
	if err := goleak.Find(leaks, goleak.IgnoreAnyFunction(readsBeside)); err != nil {
		t.Error(err)
	}
}

// run runs the group while another goroutine keeps asking for its status.
func run(g *lifecycle.Group, when func(*lifecycle.Group) time.Duration) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	defer wg.Wait()
	over := make(chan struct{})
	defer close(over)
	wg.Go(func() { watch(g, over) })
	if when != nil {
		wg.Go(func() {
			timer := time.NewTimer(when(g))
			defer timer.Stop()
			select {
			case <-timer.C:
			case <-over:
			}
			cancel()
		})
	}
	return g.Run(ctx)
}

func watch(g *lifecycle.Group, over <-chan struct{}) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		g.Status(ctx)
		cancel()
		select {
		case <-tick.C:
		case <-over:
			return
		}
	}
}

var errPlanned = errors.New("planned failure")

func isPanic(err error) bool {
	return err != nil && err.Error() == "role failing: panic: "+errPlanned.Error()
}

// beyondPlan is what the group reported beside the planned failure: errors.Join lists them.
func beyondPlan(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 2 {
		return nil
	}
	return fmt.Errorf("%d errors: %w", len(joined.Unwrap()), err)
}

// failing is a role that fails or panics after a while.
type failing struct {
	after  time.Duration
	panics bool
}

func (f *failing) Name() string { return "failing" }

func (f *failing) Run(ctx context.Context, ready func()) error {
	ready()
	timer := time.NewTimer(f.after)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil
	case <-timer.C:
	}
	if f.panics {
		panic(errPlanned.Error())
	}
	return errPlanned
}

func (f *failing) Health(context.Context) error { return nil }
