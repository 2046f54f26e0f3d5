package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// Group runs roles together, as one program.
type Group struct {
	log     *slog.Logger
	grace   time.Duration
	members []*member
	ended   chan *member // a member whose Run has returned; never blocks
}

// NewGroup puts roles together, in the order in which they start; they stop in its reverse. grace is
// how long they have to stop, all together.
func NewGroup(log *slog.Logger, grace time.Duration, roles ...Role) *Group {
	g := &Group{log: log, grace: grace, ended: make(chan *member, len(roles))}
	for _, r := range roles {
		g.members = append(g.members, newMember(r))
	}
	return g
}

// Run starts all roles, in order, and returns when all have stopped. It is called once.
//
// No role waits for the readiness of the one before it: a role may wait for as long as a broker or a
// schema is away, and the others work meanwhile. Whether the whole program can do its work is what
// Status tells.
//
// When ctx is cancelled the roles are stopped and Run returns nil. When a role fails, panics or ends
// by itself, the others are stopped and Run returns its error, which names it. Roles that have not
// returned within the grace period are named in a *StuckError; their goroutines are lost, so the
// process should end.
func (g *Group) Run(ctx context.Context) error {
	for _, m := range g.members {
		g.log.InfoContext(ctx, "role starts", "role", m.role.Name())
		m.start(context.WithoutCancel(ctx), g.log, g.ended)
	}
	var failed *member
	if len(g.members) > 0 {
		select {
		case <-ctx.Done():
		case failed = <-g.ended:
			g.log.ErrorContext(ctx, "role failed, the program stops", "role", failed.role.Name(), "error", failed.failure(false))
		}
	}
	return g.stop(ctx, failed)
}

// stop cancels the roles one after the other, the last one first. Each may take an equal part of what
// is left of the grace period, so that one that is stuck leaves time for those before it. The error
// of the role that failed, if there is one, comes first.
func (g *Group) stop(ctx context.Context, failed *member) error {
	deadline := time.Now().Add(g.grace)
	var errs []error
	if failed != nil {
		errs = append(errs, failed.failure(false))
	}
	for left := len(g.members); left > 0; left-- {
		m := g.members[left-1]
		asked := !m.hasEnded()
		m.cancel()
		timer := time.NewTimer(max(0, time.Until(deadline)) / time.Duration(left))
		select {
		case <-m.done:
			if m != failed {
				errs = append(errs, m.failure(asked))
			}
			g.log.InfoContext(ctx, "role stopped", "role", m.role.Name())
		case <-timer.C:
			g.log.WarnContext(ctx, "role is slow to stop", "role", m.role.Name())
		}
		timer.Stop()
	}
	return errors.Join(append(errs, g.awaitSlow(deadline))...)
}

// awaitSlow gives what is left of the grace period to the roles that needed more than their part.
func (g *Group) awaitSlow(deadline time.Time) error {
	timer := time.NewTimer(max(0, time.Until(deadline)))
	defer timer.Stop()
	var stuck []string
	var errs []error
	for _, m := range g.members {
		if m.hasEnded() {
			continue
		}
		select {
		case <-m.done:
			errs = append(errs, m.failure(true))
		case <-timer.C:
			timer.Reset(0) // the deadline has passed for the others, too
			stuck = append(stuck, m.role.Name())
		}
	}
	if len(stuck) > 0 {
		errs = append(errs, &StuckError{stuck, g.grace})
	}
	return errors.Join(errs...)
}

// StuckError names the roles that ignored their cancellation.
type StuckError struct {
	Roles []string
	Grace time.Duration
}

func (e *StuckError) Error() string {
	return fmt.Sprintf("did not stop within %s: %s", e.Grace, strings.Join(e.Roles, ", "))
}

// Drain tells the roles that the program will stop soon: see Drainer.
func (g *Group) Drain() {
	for _, m := range g.members {
		if drainer, ok := m.role.(Drainer); ok {
			drainer.Drain()
		}
	}
}

// Reload has every role that is a Reloader read its files again; errors name the role.
func (g *Group) Reload(ctx context.Context) error {
	var errs []error
	for _, m := range g.members {
		if reloader, ok := m.role.(Reloader); ok {
			if err := reloader.Reload(ctx); err != nil {
				errs = append(errs, fmt.Errorf("role %s: %w", m.role.Name(), err))
			}
		}
	}
	return errors.Join(errs...)
}

// Status is how a role is doing.
type Status struct {
	Role  string
	Ready bool
	Err   error    // why it isn't ready; nil where it is
	Notes []string // what the role tells although it can do its work: see Noter
}

var (
	errStarting  = errors.New("starting")
	errNoAnswer  = errors.New("the health check did not answer in time")
	errNotInTime = errors.New("an earlier health check has not answered yet")
)

// Status asks every role whether it can do its work, all at once, and waits no longer than ctx. A role
// that has not said ready yet isn't, whatever its Health says.
func (g *Group) Status(ctx context.Context) []Status {
	out := make([]Status, len(g.members))
	var wg sync.WaitGroup
	for i, m := range g.members {
		wg.Go(func() {
			out[i] = m.status(ctx)
		})
	}
	wg.Wait()
	return out
}

// StatusOf is Status for one role alone, so that no other one delays the answer. It returns false where
// the group has no such role.
func (g *Group) StatusOf(ctx context.Context, name string) (Status, bool) {
	for _, m := range g.members {
		if m.role.Name() == name {
			return m.status(ctx), true
		}
	}
	return Status{}, false
}
