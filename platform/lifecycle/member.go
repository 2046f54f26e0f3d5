package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
)

// member is a role with what the group knows of it.
type member struct {
	role   Role
	cancel context.CancelFunc

	ready chan struct{} // closed when the role has said ready
	once  sync.Once     // closes ready
	done  chan struct{} // closed when Run has returned
	err   error         // what Run returned; to be read after done
	probe chan struct{} // holds one token: at most one Health call at a time
}

func newMember(r Role) *member {
	return &member{role: r, cancel: func() {}, ready: make(chan struct{}), done: make(chan struct{}),
		probe: make(chan struct{}, 1)}
}

func (m *member) start(ctx context.Context, log *slog.Logger, ended chan<- *member) {
	ctx, m.cancel = context.WithCancel(ctx)
	go func() {
		defer func() { ended <- m }()
		defer close(m.done)
		m.err = m.run(ctx, log)
	}()
}

// run turns a panic into the role's error: one role's defect must not take the tidy stop from the
// others.
func (m *member) run(ctx context.Context, log *slog.Logger) (err error) {
	defer func() {
		if p := recover(); p != nil {
			log.ErrorContext(ctx, "role panicked", "role", m.role.Name(), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return m.role.Run(ctx, func() {
		m.once.Do(func() {
			close(m.ready)
			log.InfoContext(ctx, "role is ready", "role", m.role.Name())
		})
	})
}

var errEnded = errors.New("ended by itself")

// failure is what went wrong with a role that has ended; nil where it did as it was told.
func (m *member) failure(cancelled bool) error {
	switch {
	case m.err == nil && cancelled, cancelled && errors.Is(m.err, context.Canceled):
		return nil
	case m.err == nil:
		return fmt.Errorf("role %s: %w", m.role.Name(), errEnded)
	}
	return fmt.Errorf("role %s: %w", m.role.Name(), m.err)
}

func (m *member) hasEnded() bool { return isClosed(m.done) }
func (m *member) isReady() bool  { return isClosed(m.ready) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// status is how the role is doing.
func (m *member) status(ctx context.Context) Status {
	err := m.health(ctx)
	if err == nil && !m.isReady() {
		err = errStarting
	}
	return Status{Role: m.role.Name(), Ready: err == nil, Err: err, Notes: m.notes()}
}

// notes returns what the role tells its operators; nothing where it is no Noter. A panic is told as a note.
func (m *member) notes() (notes []string) {
	noter, ok := m.role.(Noter)
	if !ok || m.hasEnded() {
		return nil
	}
	defer func() {
		if p := recover(); p != nil {
			notes = []string{fmt.Sprintf("the role's notes panicked: %v", p)}
		}
	}()
	return noter.Notes()
}

// health calls the role's Health and gives up with ctx, even if Health does not. The call that hangs
// keeps the probe's token, so that at most one goroutine a role can ever hang.
func (m *member) health(ctx context.Context) error {
	if m.hasEnded() {
		return errEnded
	}
	select {
	case m.probe <- struct{}{}:
	case <-ctx.Done():
		return errNotInTime
	}
	answer := make(chan error, 1)
	go func() {
		defer func() { <-m.probe }()
		defer func() {
			if p := recover(); p != nil {
				answer <- fmt.Errorf("health check panicked: %v", p)
			}
		}()
		answer <- m.role.Health(ctx)
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return errNoAnswer
	}
}
