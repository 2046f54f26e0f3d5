package lifecycle_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"audittrail/platform/lifecycle"
	"audittrail/platform/lifecycle/lifecycletest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a role made of functions.
type fake struct {
	name   string
	run    func(ctx context.Context, ready func()) error
	health func(ctx context.Context) error
}

func (f *fake) Name() string                                { return f.name }
func (f *fake) Run(ctx context.Context, ready func()) error { return f.run(ctx, ready) }
func (f *fake) Health(ctx context.Context) error {
	if f.health == nil {
		return nil
	}
	return f.health(ctx)
}

// journal records what happened in which order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) add(s string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, s)
}

// tidy is a role that works until it is cancelled and says so in the journal.
func tidy(name string, j *journal, isReady chan<- string) *fake {
	return &fake{name: name, run: func(ctx context.Context, ready func()) error {
		ready()
		isReady <- name
		<-ctx.Done()
		j.add(name)
		return nil
	}}
}

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// start runs a group and returns the function that stops it and gives Run's result.
func start(t *testing.T, g *lifecycle.Group) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error, 1)
	go func() { result <- g.Run(ctx) }()
	return func() error {
		cancel()
		return <-result
	}
}

func TestStopsInReverseOrder(t *testing.T) {
	j, isReady := &journal{}, make(chan string, 3)
	g := lifecycle.NewGroup(discard(), time.Minute, tidy("a", j, isReady), tidy("b", j, isReady), tidy("c", j, isReady))
	stop := start(t, g)
	for range 3 {
		<-isReady
	}
	require.NoError(t, stop())
	require.Equal(t, []string{"c", "b", "a"}, j.lines)
}

func TestAWaitingRoleHoldsUpNoOther(t *testing.T) {
	j, isReady := &journal{}, make(chan string, 1)
	waits := &fake{name: "waits", run: func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil },
		health: func(context.Context) error { return errors.New("Kafka is away") }}
	g := lifecycle.NewGroup(discard(), time.Minute, waits, tidy("works", j, isReady))
	stop := start(t, g)
	require.Equal(t, "works", <-isReady)
	s := g.Status(context.Background())
	require.Equal(t, "waits", s[0].Role)
	require.False(t, s[0].Ready)
	require.EqualError(t, s[0].Err, "Kafka is away")
	require.Equal(t, lifecycle.Status{Role: "works", Ready: true}, s[1])
	require.NoError(t, stop())
}

func TestARoleThatHasNotSaidReadyIsNot(t *testing.T) {
	quiet := &fake{name: "quiet", run: func(ctx context.Context, _ func()) error { <-ctx.Done(); return nil }}
	g := lifecycle.NewGroup(discard(), time.Minute, quiet)
	stop := start(t, g)
	s := g.Status(context.Background())
	require.False(t, s[0].Ready)
	require.EqualError(t, s[0].Err, "starting")
	require.NoError(t, stop())
}

func TestAFailureStopsAll(t *testing.T) {
	boom := errors.New("boom")
	tests := map[string]struct {
		run  func(context.Context, func()) error
		want string
	}{
		"error":          {func(context.Context, func()) error { return boom }, "role bad: boom"},
		"ends by itself": {func(context.Context, func()) error { return nil }, "role bad: ended by itself"},
		"panic":          {func(context.Context, func()) error { panic("oh") }, "role bad: panic: oh"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			j, isReady := &journal{}, make(chan string, 2)
			bad := &fake{name: "bad", run: func(ctx context.Context, ready func()) error {
				<-isReady
				<-isReady
				return tt.run(ctx, ready)
			}}
			g := lifecycle.NewGroup(discard(), time.Minute, tidy("a", j, isReady), bad, tidy("c", j, isReady))
			require.EqualError(t, g.Run(context.Background()), tt.want)
			require.Equal(t, []string{"c", "a"}, j.lines)
		})
	}
}

func TestEveryFailureIsReported(t *testing.T) {
	both := make(chan struct{}, 2)
	meet := func(context.Context, func()) error {
		both <- struct{}{}
		for len(both) < 2 {
			<-time.After(time.Millisecond)
		}
		return errors.New("boom")
	}
	g := lifecycle.NewGroup(discard(), time.Minute, &fake{name: "a", run: meet}, &fake{name: "b", run: meet})
	err := g.Run(context.Background())
	require.ErrorContains(t, err, "role a: boom")
	require.ErrorContains(t, err, "role b: boom")
}

func TestAPanicLeavesItsStackInTheLog(t *testing.T) {
	var out bytes.Buffer
	bad := &fake{name: "bad", run: func(context.Context, func()) error { panicHere(); return nil }}
	g := lifecycle.NewGroup(slog.New(slog.NewTextHandler(&out, nil)), time.Minute, bad)
	require.Error(t, g.Run(context.Background()))
	require.Contains(t, out.String(), "panicHere")
}

func panicHere() { panic("here") }

func TestAnErrorWhileStoppingIsReported(t *testing.T) {
	running := make(chan struct{})
	bad := &fake{name: "bad", run: func(ctx context.Context, _ func()) error {
		close(running)
		<-ctx.Done()
		return errors.New("could not flush")
	}}
	stop := start(t, lifecycle.NewGroup(discard(), time.Minute, bad))
	<-running
	require.EqualError(t, stop(), "role bad: could not flush")
}

func TestAStuckRoleIsNamedAndTheOthersStop(t *testing.T) {
	j, isReady := &journal{}, make(chan string, 2)
	release, returned := make(chan struct{}), make(chan struct{})
	stuck := &fake{name: "stuck", run: func(context.Context, func()) error {
		defer close(returned)
		<-release
		return nil
	}}
	g := lifecycle.NewGroup(discard(), 50*time.Millisecond, tidy("a", j, isReady), stuck, tidy("c", j, isReady))
	stop := start(t, g)
	<-isReady
	<-isReady
	err := stop()
	var e *lifecycle.StuckError
	require.ErrorAs(t, err, &e)
	require.Equal(t, []string{"stuck"}, e.Roles)
	require.Equal(t, []string{"c", "a"}, j.lines)
	close(release)
	<-returned
}

func TestASlowRoleMayUseTheOthersTime(t *testing.T) {
	running := make(chan struct{})
	slow := &fake{name: "slow", run: func(ctx context.Context, _ func()) error {
		close(running)
		<-ctx.Done()
		<-time.After(150 * time.Millisecond) // more than a third of the grace period
		return nil
	}}
	j, isReady := &journal{}, make(chan string, 2)
	g := lifecycle.NewGroup(discard(), 400*time.Millisecond, tidy("a", j, isReady), tidy("b", j, isReady), slow)
	stop := start(t, g)
	<-running
	<-isReady
	<-isReady
	require.NoError(t, stop())
}

func TestAHealthCheckThatHangsBlocksNobody(t *testing.T) {
	release := make(chan struct{})
	hangs := &fake{name: "hangs", run: func(ctx context.Context, ready func()) error { ready(); <-ctx.Done(); return nil },
		health: func(context.Context) error { <-release; return nil }}
	g := lifecycle.NewGroup(discard(), time.Minute, hangs)
	stop := start(t, g)
	for range 3 {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		s := g.Status(ctx)
		cancel()
		require.False(t, s[0].Ready)
	}
	close(release)
	require.NoError(t, stop())
}

func TestAPanickingHealthCheckIsAReason(t *testing.T) {
	bad := &fake{name: "bad", run: func(ctx context.Context, ready func()) error { ready(); <-ctx.Done(); return nil },
		health: func(context.Context) error { panic("oh") }}
	g := lifecycle.NewGroup(discard(), time.Minute, bad)
	stop := start(t, g)
	require.EqualError(t, g.Status(context.Background())[0].Err, "health check panicked: oh")
	require.NoError(t, stop())
}

func TestStressHarness(t *testing.T) {
	lifecycletest.Stress(t, func() lifecycle.Role {
		return &fake{name: "good", run: func(ctx context.Context, ready func()) error {
			var wg sync.WaitGroup
			defer wg.Wait()
			wg.Go(func() { <-ctx.Done() })
			ready()
			<-ctx.Done()
			return nil
		}}
	})
}

// noter has something to tell though nothing fails.
type noter struct{ *fake }

func (noter) Notes() []string { return []string{"a topic is missing"} }

func TestStatusHasTheNotesOfARole(t *testing.T) {
	isReady := make(chan string, 1)
	g := lifecycle.NewGroup(discard(), time.Minute, noter{tidy("a", &journal{}, isReady)})
	stop := start(t, g)
	<-isReady
	s := g.Status(context.Background())
	require.NoError(t, s[0].Err)
	require.Equal(t, []string{"a topic is missing"}, s[0].Notes)
	require.NoError(t, stop())
}
