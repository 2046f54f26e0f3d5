package query

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"audittrail/modules/httpapi"
	"audittrail/modules/query/fold"
	"audittrail/modules/store"
	"audittrail/platform/auth"
	"audittrail/platform/httpserver"
)

// RoleOptions are what the role api is made of.
type RoleOptions struct {
	HTTP    httpserver.Options
	Auth    auth.Options
	Reader  *store.Reader
	Log     *slog.Logger
	Metrics prometheus.Registerer
	Drain   time.Duration // how long requests under way may take to end at shutdown; 0 is 10 s

	// PublicLedger opens the ledger's paths, hashes and checkpoints, without a token.
	PublicLedger bool

	// State says how states are folded.
	State fold.Options

	// Listening is told the listener's address before the role is ready; it may be nil.
	Listening func(net.Addr)

	// Assemble puts the handlers of all modules together. Where it is nil these are all there are.
	Assemble func(*Handlers) httpapi.API
}

// Role is the role api: it serves the specification's paths until it is stopped.
type Role struct {
	handlers *Handlers
	verifier *auth.Verifier
	server   *httpserver.Server
	log      *slog.Logger
	told     func(net.Addr)
}

// NewRole makes the role. It opens no connection and no listener; an error is a configuration that can't
// work, or a mistake in the program.
func NewRole(o RoleOptions) (*Role, error) {
	spec, err := httpapi.Load()
	if err != nil {
		return nil, err
	}
	verifier, err := auth.NewVerifier(o.Auth, o.Log)
	if err != nil {
		return nil, err
	}
	server, err := httpserver.New(o.HTTP, httpserver.Deps{Log: o.Log, Metrics: o.Metrics, Drain: o.Drain})
	if err != nil {
		return nil, err
	}
	handlers, err := NewHandlers(o.Reader, spec, o.HTTP.MaxRequests/2, o.Metrics)
	if err != nil {
		return nil, err
	}
	if handlers.rules, err = fold.NewRules(o.State); err != nil {
		return nil, err
	}
	r := &Role{handlers: handlers, verifier: verifier, server: server, log: o.Log, told: o.Listening}
	var api httpapi.API = r.handlers
	if o.Assemble != nil {
		api = o.Assemble(r.handlers)
	}
	if err := httpapi.Mount(server, spec, httpapi.Entrance{Verifier: verifier, PublicLedger: o.PublicLedger}, api); err != nil {
		return nil, err
	}
	mountAssets(server)
	return r, nil
}

// Name is the role's name in `roles`.
func (r *Role) Name() string { return "api" }

// Run serves until ctx is cancelled. Waiting feeds are answered at once then, and other requests under way
// get the drain time.
func (r *Role) Run(ctx context.Context, ready func()) error {
	background, cancel := context.WithCancel(ctx)
	defer cancel()
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel() // before the wait: a listener that fails ends the others too
	running.Go(func() { r.verifier.Run(background) })
	running.Go(func() { r.handlers.head.run(background) })
	return r.server.Run(ctx, func(addr net.Addr) {
		r.log.Info("the API listens", slog.String("address", addr.String()))
		if r.told != nil {
			r.told(addr)
		}
		ready()
	})
}

// Drain closes connections as answers leave, while the role goes on serving.
func (r *Role) Drain() { r.server.Drain() }

// Reload reads the TLS files and the issuer's keys again. What can't be read leaves the last good ones in
// use.
func (r *Role) Reload(ctx context.Context) error {
	return errors.Join(r.server.Reload(), r.verifier.Reload(ctx))
}

// Health is an error while requests can't be answered: PostgreSQL is away, or there are no keys to check
// tokens with.
func (r *Role) Health(ctx context.Context) error {
	return errors.Join(r.handlers.reader.Ping(ctx), r.verifier.Health())
}
