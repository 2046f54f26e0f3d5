package app

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"audittrail/modules/migrate"
	"audittrail/platform/errs"
	"audittrail/platform/lifecycle"
)

const (
	gateInterval = time.Second     // between two looks at a schema that does not fit yet
	gateTimeout  = 5 * time.Second // of one look
)

// gate keeps a role from being ready until PostgreSQL answers and the schema fits. `serve` never
// migrates, and must survive a database that is away: the gate waits for both, for as long as it takes.
type gate struct {
	lifecycle.Role
	db   migrate.Queryer
	keys *pgxpool.Pool // of the database of keys; nil if that is the same
	log  *slog.Logger
	// early lets the role run while the gate waits: the api answers 503 meanwhile.
	early bool
	// beside runs with the role, and is stopped after it.
	beside []func(context.Context)
}

// Run runs the role, once the gate has opened or, for an early one, at once.
func (g *gate) Run(ctx context.Context, ready func()) error {
	background, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	for _, run := range g.beside {
		running.Go(func() { run(background) })
	}
	return g.run(ctx, ready)
}

func (g *gate) run(ctx context.Context, ready func()) error {
	if !g.early {
		if !g.await(ctx) {
			return nil
		}
		return g.Role.Run(ctx, ready)
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	var left atomic.Int32
	left.Store(2)
	half := func() {
		if left.Add(-1) == 0 {
			ready()
		}
	}
	wg.Go(func() {
		if g.await(ctx) {
			half()
		}
	})
	return g.Role.Run(ctx, sync.OnceFunc(half))
}

// await waits until the schema fits; false where ctx ended before. It logs each change of the reason
// once, however many tries there are.
func (g *gate) await(ctx context.Context) bool {
	timer := time.NewTimer(0)
	defer timer.Stop()
	reason := ""
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
		}
		err := g.look(ctx)
		if err == nil {
			if reason != "" {
				g.log.InfoContext(ctx, "the schema fits", "role", g.Name())
			}
			return true
		}
		if e := errs.Of(err); ctx.Err() == nil && reason != e.Code+e.Detail {
			reason = e.Code + e.Detail
			g.log.WarnContext(ctx, "role waits", "role", g.Name(), "reason", err)
		}
		timer.Reset(gateInterval)
	}
}

func (g *gate) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, gateTimeout)
	defer cancel()
	return g.check(ctx)
}

func (g *gate) check(ctx context.Context) error {
	if err := migrate.Check(ctx, g.db); err != nil || g.keys == nil {
		return err
	}
	if err := migrate.Check(ctx, g.keys); err != nil {
		e := errs.Of(err)
		return errs.New(e.Kind, e.Code, "encryption.keys_url: %s", e.Detail).Because(err)
	}
	return nil
}

// Drain passes on to the role, where it prepares for its end.
func (g *gate) Drain() {
	if drainer, ok := g.Role.(lifecycle.Drainer); ok {
		drainer.Drain()
	}
}

// Reload passes on to the role, where it has files to read again.
func (g *gate) Reload(ctx context.Context) error {
	if reloader, ok := g.Role.(lifecycle.Reloader); ok {
		return reloader.Reload(ctx)
	}
	return nil
}

// Notes are the role's, where it has any.
func (g *gate) Notes() []string {
	if noter, ok := g.Role.(lifecycle.Noter); ok {
		return noter.Notes()
	}
	return nil
}

// Health is the gate's reason where there is one, else the role's.
func (g *gate) Health(ctx context.Context) error {
	if err := g.check(ctx); err != nil {
		return err
	}
	return g.Role.Health(ctx)
}
