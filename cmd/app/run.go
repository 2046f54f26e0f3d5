package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/KimMachineGun/automemlimit/memlimit"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"audittrail/platform/httpserver"
	"audittrail/platform/lifecycle"
	"audittrail/platform/telemetry"
	"audittrail/platform/telemetry/buildinfo"
	"audittrail/platform/telemetry/otlp"
)

// Options is what Run is called with.
type Options struct {
	Config Config
	Log    *slog.Logger

	// Level is Log's, which the operators' port changes; nil: it can't be changed.
	Level *slog.LevelVar

	// Exports is what is sent by OTLP; nil: nothing. Run closes it.
	Exports *otlp.Exports

	// Listening is told the address of each listener that is up: "admin" and "api". It may be nil;
	// it must not block.
	Listening func(name string, addr net.Addr)

	// Reload has the roles read their files again, once for each value; it may be nil.
	Reload <-chan os.Signal
}

// ErrTerminated is the cause of a context that ends because the program was asked to make place in good
// order: by SIGTERM, not by somebody at a terminal. The program then still serves for shutdown.delay.
var ErrTerminated = errors.New("terminated")

// Run runs the roles that the configuration names, until ctx is cancelled, and puts everything down
// again. `serve` and `dev` both are this function.
//
// A configuration that can't work is a *config.Error, before anything is opened. A database or a broker
// that is away is no error: the roles wait, and /readyz says what for. A role that fails, or does not
// stop in time, is an error that names it.
func Run(ctx context.Context, o Options) error {
	defer closeExports(ctx, o)
	if err := Check(o.Config); err != nil {
		return err
	}
	if err := warnUnused(ctx, o.Config, o.Log); err != nil {
		return err
	}
	warnHops(ctx, o.Config, o.Log)
	warnIdentifiers(ctx, o.Config, o.Log)
	defer limitMemory(o.Config, memlimit.FromCgroup)()
	if slices.Contains(o.Config.Roles, "api") {
		defer ReserveForAPI()()
	}
	build := buildinfo.Read()
	p := &parts{
		cfg: o.Config, log: o.Log, metrics: newMetricRegistry(o.Config, build),
		listeners: &listeners{tell: o.Listening}, reload: o.Reload, level: o.Level,
	}
	if o.Exports != nil {
		p.tracing = o.Exports.Tracing
	}
	o.Log.InfoContext(ctx, "audittrail starts", "version", build.Version, "revision", build.Revision, "roles", o.Config.Roles)
	err := p.run(ctx, chosen(o.Config))
	var stuck *lifecycle.StuckError
	if !errors.As(err, &stuck) { // else a lost goroutine may hold a connection for ever
		p.close(ctx)
	}
	o.Log.InfoContext(context.WithoutCancel(ctx), "audittrail has stopped")
	return err
}

// newMetricRegistry makes the registry, with what belongs to no role.
func newMetricRegistry(c Config, build buildinfo.Info) *prometheus.Registry {
	r := telemetry.NewRegistry(build)
	r.MustRegister(newCertificateExpiry(c))
	return r
}

// parts is what the roles are built from.
type parts struct {
	cfg       Config
	log       *slog.Logger
	level     *slog.LevelVar
	metrics   *prometheus.Registry
	tracing   *telemetry.Tracing // nil where it is off
	listeners *listeners
	reload    <-chan os.Signal
	pools     []*pgxpool.Pool // to be closed at the end
	probe     *pgxpool.Pool   // one of them
	keysDB    *pgxpool.Pool   // one of them; see keysProbe

	compared atomic.Bool             // the journal of erasures, with the database
	beside   []func(context.Context) // what runs beside the role that is being built, until ctx is cancelled
}

func (p *parts) run(ctx context.Context, roles []role) error {
	var group *lifecycle.Group
	admin := httpserver.NewAdmin(p.cfg.Admin, httpserver.AdminDeps{
		Log: p.log, Level: p.level, Metrics: p.metrics, Started: p.listeners.allUp,
		Status:   func(ctx context.Context) []lifecycle.Status { return withoutAdmin(group.Status(ctx)) },
		StatusOf: func(ctx context.Context, role string) (lifecycle.Status, bool) { return group.StatusOf(ctx, role) },
		Roles:    roleNames(),
	})
	members := []lifecycle.Role{adminRole{admin}}
	for _, r := range roles {
		built, err := p.build(ctx, r)
		if err != nil {
			return fmt.Errorf("role %s: %w", r.name, err)
		}
		members = append(members, built)
		if r.needs.listens {
			p.listeners.missing.Add(1)
		}
	}
	group = lifecycle.NewGroup(p.log, p.cfg.Shutdown.Grace, members...)
	p.listeners.missing.Add(1)
	addr, err := admin.Listen(ctx)
	if err != nil {
		return err
	}
	p.listeners.up("admin", addr)
	return p.runGroup(ctx, group, admin)
}

// build makes a role, behind the gate that waits for its schema.
func (p *parts) build(ctx context.Context, r role) (lifecycle.Role, error) {
	opened, err := p.openPools(ctx, r)
	if err != nil {
		return nil, err
	}
	built, err := r.build(ctx, p, opened)
	if err != nil {
		return nil, err
	}
	first := p.probe == nil
	probe, err := p.probePool(ctx, r)
	if err != nil {
		return nil, err
	}
	if first {
		p.beside = append(p.beside, p.warnRoom)
	}
	keys, err := p.keysProbe(ctx, r.pools[0].Role)
	if err != nil {
		return nil, err
	}
	g := &gate{Role: built, db: probe, keys: keys, log: p.log, early: r.needs.listens, beside: p.beside}
	p.beside = nil
	return g, nil
}

// closeTimeout is how long pools may take to close once all roles have stopped: a connection that was
// never given back must not keep the process.
const closeTimeout = 3 * time.Second

func (p *parts) close(ctx context.Context) {
	closed := make(chan struct{})
	go func() { // lost with the process where the timer is first
		defer close(closed)
		for _, pool := range p.pools {
			pool.Close()
		}
	}()
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-closed:
	case <-timer.C:
		p.log.WarnContext(ctx, "connections to PostgreSQL were not given back in time")
	}
}
