package app

import (
	"context"
	"errors"
	"sync"
	"time"

	"audittrail/platform/httpserver"
	"audittrail/platform/lifecycle"
)

// runGroup runs the roles until ctx is cancelled, and for shutdown.delay after that if ErrTerminated is
// the cause. Kubernetes and load balancers route requests to a process for seconds after it was asked to
// stop; they are answered meanwhile, and every role goes on working.
func (p *parts) runGroup(ctx context.Context, group *lifecycle.Group, admin *httpserver.Admin) error {
	work, stop := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()
	running.Go(func() {
		defer stop()
		p.awaitStop(ctx, work, group)
		if ctx.Err() == nil {
			return // a role has failed, and the group has stopped
		}
		admin.Stopping()
		if errors.Is(context.Cause(ctx), ErrTerminated) && p.cfg.Shutdown.Delay > 0 {
			p.log.InfoContext(ctx, "asked to stop, serving on for a while", "delay", p.cfg.Shutdown.Delay.String())
			group.Drain()
			wait(work, p.cfg.Shutdown.Delay)
		}
	})
	return group.Run(work)
}

// awaitStop reloads when it is asked to, until ctx or work has ended.
func (p *parts) awaitStop(ctx, work context.Context, group *lifecycle.Group) {
	reloading, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(work, cancel)()
	for {
		select {
		case <-reloading.Done():
			return
		case <-p.reload:
		}
		if err := group.Reload(reloading); err != nil {
			p.log.WarnContext(ctx, "not everything could be read again; the last good state stays", "error", err)
			continue
		}
		p.log.InfoContext(ctx, "certificates and token keys were read again")
	}
}

// wait returns after the duration, or when ctx has ended.
func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
